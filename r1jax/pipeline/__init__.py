"""The stages of DeepSeek-R1, one file each, in the paper's order (reference §1.6).

pretrain       the base model (a tiny one; V3-Base in the paper)
reasoning_rl   R1-Zero: GRPO on rule rewards, from the base; and Dev1 -> Dev2
cold_start     R1-Zero's own replies made readable: the data of Dev1
finetune       SFT from the base: Dev1, Dev3, students
resample       rejection sampling from Dev2 + general data: the data of Dev3
reward_model   helpfulness and harmlessness, from Dev3
general_rl     RL for all scenarios: Dev3 -> R1
distill        the curated samples -> SFT of smaller students

single runs one of them; r1 is the graph of all, rl_vs_distill that of one comparison over seeds.
"""
