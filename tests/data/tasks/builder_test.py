"""The TFDS dataset, built and read in a process of its own that must not load TensorFlow."""

import subprocess
import sys

_SCRIPT = """
import pathlib
import sys
import grain
from r1jax.data.tasks import builder, corpus, tiny_world
config = builder.TinyWorldConfig(train_size=40, heldout_size=20, corpus_size=50, seed=3)
made = builder.build(sys.argv[1], config)
train = builder.Problems(made.as_data_source('train'))
assert list(train) == list(tiny_world.World(3, 40))
heldout = builder.Problems(made.as_data_source('heldout'))
assert list(heldout) == list(tiny_world.World(3, 20, split='heldout'))
documents = builder.Documents(made.as_data_source('corpus'))
assert list(documents) == list(corpus.Corpus(3, 50))
shuffled = list(grain.MapDataset.source(train).shuffle(seed=1))
assert sorted(p.question for p in shuffled) == sorted(p.question for p in train)
other = builder.TinyWorldConfig(train_size=41, heldout_size=20, corpus_size=50, seed=3)
assert other.name != config.name
before = {p: p.stat().st_mtime_ns for p in pathlib.Path(made.data_dir).iterdir()}
builder.build(sys.argv[1], config)
assert before == {p: p.stat().st_mtime_ns for p in pathlib.Path(made.data_dir).iterdir()}
assert not {'tensorflow', 'torch', 'transformers'} & set(sys.modules)
print('done')
"""


def test_splits_hold_the_world_in_order_and_no_tensorflow_is_loaded(tmp_path):
  run = subprocess.run(
    [sys.executable, '-c', _SCRIPT, str(tmp_path)],
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert run.returncode == 0, run.stderr[-3000:]
  assert run.stdout.strip().endswith('done')
