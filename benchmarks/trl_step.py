"""Times TRL's GRPO step on the shapes of `benchmarks.rl_step`, in an environment of its own.

  python -m venv trl && trl/bin/pip install torch trl
  trl/bin/python -P benchmarks/trl_step.py --preset=bench_qwen2

(-P: else `benchmarks/kernels.py` is taken for the hub's package.) Nothing of r1jax is imported: the
weights are random, the prompts are random words, and replies end at the lengths that `rl_step`
gives them. As there: float32, AdamW, a reference, one mini-batch. Seconds of the rollout
(`generate`) and of the whole step, medians behind a warm-up.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time

import datasets
import numpy as np
import tokenizers
import torch
import transformers
import trl

# name -> (prompts, group, prompt, longest reply, mean reply or 0, sequences of a micro-batch).
PRESETS = {
  'bench_qwen2': (8, 8, 64, 192, 0, 16),
  'ragged': (8, 8, 192, 192, 48, 16),
  'smollm2': (12, 8, 37, 96, 20, 12),
}
END = 0


def model_of(preset):
  """A model of random weights, of the preset's shape."""
  more = dict(bos_token_id=None, eos_token_id=END, pad_token_id=1, max_position_embeddings=2048)
  if preset == 'smollm2':
    sizes = dict(vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30)
    heads = dict(num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **heads, **more))
  sizes = dict(vocab_size=4096, hidden_size=256, intermediate_size=1024, num_hidden_layers=4)
  heads = dict(num_attention_heads=8, num_key_value_heads=2, tie_word_embeddings=True)
  return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**sizes, **heads, **more))


def words(size):
  """A tokenizer of `size` words, a token each."""
  vocab = {'<end>': END, '<pad>': 1} | {f'w{i}': i for i in range(2, size)}
  tok = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token='w2'))
  tok.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=tok, eos_token='<end>', pad_token='<pad>', padding_side='left'
  )


def lengths(count, mean, cap):
  """Tokens of each reply, as `rl_step.Shapes.lengths` has them."""
  if not mean:
    return np.full(count, cap)
  share = (np.arange(count) + 0.5) / count
  length = np.ceil(np.log1p(-share) / np.log1p(-1 / mean))
  return np.random.default_rng(0).permutation(np.clip(length, 1, cap).astype(int))


class Ends(transformers.LogitsProcessor):
  """Ends each reply at its length, and none before."""

  def __init__(self, prompt, length_B):
    self.prompt, self.length_B = prompt, torch.as_tensor(length_B)

  def __call__(self, ids_BT, logits_BV):
    done_B = ids_BT.shape[1] - self.prompt + 1 >= self.length_B
    logits_BV[:, END] = torch.where(done_B, torch.inf, -torch.inf)
    logits_BV[done_B, :END] = logits_BV[done_B, END + 1 :] = -torch.inf
    logits_BV[done_B, END] = 0.0
    return logits_BV


class Clock(transformers.TrainerCallback):
  """Seconds of each whole step."""

  def __init__(self):
    self.steps = []

  def on_step_begin(self, *args, **more):
    """Notes when a step begins."""
    self.begin = time.perf_counter()

  def on_step_end(self, *args, **more):
    """Notes what it took."""
    self.steps.append(time.perf_counter() - self.begin)


def settings(count, group, micro, cap, repeats):
  """TRL's config of such steps."""
  return trl.GRPOConfig(
    output_dir=tempfile.mkdtemp(),
    per_device_train_batch_size=micro,
    gradient_accumulation_steps=count // micro,
    generation_batch_size=count,
    num_generations=group,
    max_completion_length=cap,
    beta=0.001,
    learning_rate=1e-6,
    max_steps=repeats + 1,
    temperature=1.0,
    top_p=1.0,
    bf16=False,
    use_cpu=True,
    gradient_checkpointing=False,
    report_to='none',
    save_strategy='no',
    disable_tqdm=True,
  )


def main():
  """Prints a line of JSON."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--preset', choices=PRESETS, default='bench_qwen2')
  parser.add_argument('--repeats', type=int, default=3)
  parser.add_argument('--micro', type=int, help='sequences of a micro-batch')
  args = parser.parse_args()
  prompts, group, prompt, cap, mean, micro = PRESETS[args.preset]
  micro, count = args.micro or micro, prompts * group
  # TRL reads the reference from where the model was read.
  folder = tempfile.mkdtemp()
  model_of(args.preset).save_pretrained(folder)
  model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
  rng = np.random.default_rng(0)
  vocab, asked = model.config.vocab_size, prompts * (args.repeats + 1)
  texts = [' '.join(f'w{i}' for i in rng.integers(4, vocab, prompt)) for _ in range(asked)]
  rollouts, generate = [], model.generate

  def timed(*inputs, **more):
    begin = time.perf_counter()
    ends = Ends(prompt, lengths(count, mean, cap))
    out = generate(*inputs, logits_processor=transformers.LogitsProcessorList([ends]), **more)
    rollouts.append(time.perf_counter() - begin)
    return out

  model.generate = timed
  config = settings(count, group, micro, cap, args.repeats)
  clock = Clock()
  trainer = trl.GRPOTrainer(
    model=model,
    args=config,
    processing_class=words(vocab),
    train_dataset=datasets.Dataset.from_dict({'prompt': texts}),
    reward_funcs=lambda completions, **more: rng.normal(size=len(completions)).tolist(),
    callbacks=[clock],
  )
  trainer.train()
  found = {
    'preset': args.preset,
    'trl': trl.__version__,
    'torch': torch.__version__,
    'rollout_s': round(statistics.median(rollouts[1:]), 3),
    'step_s': round(statistics.median(clock.steps[1:]), 3),
    'peak_rss_gib': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    'micro': micro,
  }
  print(json.dumps(found))


if __name__ == '__main__':
  main()
