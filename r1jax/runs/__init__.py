"""What drives a run.

kinds          one table: every stage that can run, by its name in a config
train          the one course of a run that learns: check, plan, prepare, examine, loop, close
rl             what RL adds to it       supervised   what pre-training, SFT, distillation,
                                                      reward models add
curation       stages that make data    report_cards  stages that examine a model
model          architecture, tokenizer and weights of a job
opening        the model of a run, also of one that has not ended
examiner       held-out questions, asked before, during and after
tables         what is about to happen, in numbers
workdir        the folder of a run
r1             all stages of DeepSeek-R1 as a graph; rl_vs_distill: a comparison over seeds
graph/         stages that read each other, made once
report/        what a run or a graph leaves, and what it keeps fresh while it goes on
show/          a run read from its folder and shown, on a terminal or as a page
doctor/        what is wrong with it
"""
