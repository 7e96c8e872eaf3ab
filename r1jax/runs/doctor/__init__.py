"""What is wrong with a run: rules over its figures and replies, each with its cause and its cure.

finding    what a rule says, and what it looks at
signal     rewards that teach nothing      policy   a policy that moves too little or too far
replies    what the texts themselves show  machine  verifiers, batches and checkpoints
rules      all of them; `rules.examine` is the door
"""
