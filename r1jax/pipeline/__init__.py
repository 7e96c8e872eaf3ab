"""The stages of DeepSeek-R1, one file each, in the paper's order (reference §1.6).

pretrain       the base model (a tiny one; V3-Base in the paper)
reasoning_rl   R1-Zero: GRPO on rule rewards, from the base
"""
