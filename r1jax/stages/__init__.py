"""The stages of DeepSeek-R1, one file each, in the paper's order (reference §1.6).

pretrain       the base model (a tiny one; V3-Base in the paper)
reasoning_rl   R1-Zero: GRPO on rule rewards, from the base; and Dev1 -> Dev2
cold_start     R1-Zero's own replies made readable: the data of Dev1
sft            SFT from the base: Dev1, Dev3, students
rejection      rejection sampling from Dev2 + general data: the data of Dev3
reward_model   helpfulness and harmlessness, from Dev3
general_rl     RL for all scenarios: Dev3 -> R1
distill        the curated samples -> SFT of smaller students

What they share: rl_schedule (the settings of both kinds of RL), rollouts (questions, sampler and
rewards of an RL run; ahead: sampling beside training), packing (one packer for all losses),
supervised (the life cycle of what learns from texts), samples (many replies on disk), judge (reward
models as a service), sample_log, sample_files (what people read of a rollout). `runs` drives them.
"""
