"""Data sets of examples come back as they were written, in the same bytes each time."""

import pytest

from r1jax.data import examples, prompts, tokenizer
from r1jax.interchange import checkpoints

SET = [
  examples.Example(f'What is {i} + 1', f'<think> 小 {i} </think> <answer> {i + 1} </answer>', 'en',
                   'symbols', {'source': 'dev2', 'question': i})
  for i in range(5)
]  # fmt: skip


def test_examples_come_back_in_order_with_their_provenance(tmp_path):
  path = tmp_path / 'deep' / 'data.array_record'
  examples.write(path, SET)
  found = examples.Examples(path)
  assert len(found) == 5 and [found[i] for i in range(5)] == SET
  assert [p.name for p in path.parent.iterdir()] == ['data.array_record']


def test_the_same_examples_give_the_same_bytes(tmp_path):
  for name in 'ab':
    examples.write(tmp_path / name, SET)
  assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()


def test_no_example_and_no_data_set_are_errors(tmp_path):
  with pytest.raises(ValueError, match='no example is left'):
    examples.write(tmp_path / 'data', [])
  with pytest.raises(ValueError, match='no such data set'):
    examples.Examples(tmp_path / 'data')
  (tmp_path / 'data').write_text('something else')
  with pytest.raises(ValueError, match='not a data set'):
    examples.Examples(tmp_path / 'data')


def test_prompt_and_reply_are_the_ids_of_their_text_and_an_end():
  tok = tokenizer.load(checkpoints.open('tiny'))
  example = examples.Example('What is 5 + 5', '<think> 5 + 5 = 10 </think> <answer> 10 </answer>',
                             'en', 'symbols', {})  # fmt: skip
  found = examples.encode(example, prompts.Form(tok))
  assert found.ids[0] == tok.bos_id and found.ids[-1] == tok.eos_id
  assert tok.decode(found.ids[found.learned]) == f' {example.reply}'
  assert tok.decode(found.ids[~found.learned]).endswith('5 + 5. Assistant:')
