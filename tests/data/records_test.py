"""Files that others made: JSONL, parquet as pyarrow and the hub write it, folders, and damage."""

import datetime
import decimal
import json
import re

import pyarrow as pa
import pytest
from pyarrow import parquet

from r1jax.data import records
from r1jax.data.tasks import jsonl

# As OpenR1-Math-220k's columns are typed, lists and a list of structs among them.
ROWS = [
  {
    'problem': f'What is {i} + 1?',
    'answer': str(i + 1),
    'generations': [f'<think>\n{i}\n</think>', 'no'],
    'correctness_math_verify': [True, False],
    'messages': [{'role': 'user', 'content': 'Q'}, {'role': 'assistant', 'content': 'A'}],
    'level': i,
  }
  for i in range(5)
]


def write(path, rows, **options):
  """A parquet file of the rows."""
  path.parent.mkdir(parents=True, exist_ok=True)
  parquet.write_table(pa.Table.from_pylist(rows), path, **options)
  return path


@pytest.mark.parametrize('compression', ['none', 'snappy', 'zstd', 'gzip'])
def test_parquet_gives_the_records_that_jsonl_gives(tmp_path, compression):
  write(tmp_path / 'a.parquet', ROWS, compression=compression, row_group_size=2)
  (tmp_path / 'a.jsonl').write_text('\n'.join(map(json.dumps, ROWS)))
  both = [list(records.each(tmp_path / f'a.{form}', dict)) for form in ('parquet', 'jsonl')]
  assert both[0] == both[1] == ROWS


def test_problems_of_a_parquet_file_keep_their_other_columns(tmp_path):
  path = write(tmp_path / 'a.parquet', ROWS)
  found = jsonl.load(path, records.columns('question=problem'), limit=2)
  assert [(p.question, p.answer) for p in found] == [
    ('What is 0 + 1?', '1'),
    ('What is 1 + 1?', '2'),
  ]
  assert set(found[0].extra) == set(ROWS[0]) - {'problem', 'answer'}
  assert found[1].extra['level'] == 1 and found[1].extra['generations'][0].startswith('<think>')
  (first, *_) = jsonl.load(path, records.columns('question=problem,level'))
  assert first.extra == {'level': 0}


@pytest.mark.parametrize('folder', ['', 'data'])
def test_shards_of_a_split_are_read_in_order(tmp_path, folder):
  inner = tmp_path / folder
  write(inner / 'train-00001-of-00002.parquet', ROWS[2:])
  write(inner / 'train-00000-of-00002.parquet', ROWS[:2])
  write(inner / 'test-00000-of-00001-a09b74b3.parquet', ROWS[4:])
  (tmp_path / 'README.md').write_text('---')
  assert list(records.each(tmp_path, dict)) == ROWS
  assert list(records.each(tmp_path, dict, limit=3)) == ROWS[:3]
  assert list(records.each(tmp_path, dict, 'test')) == ROWS[4:]
  assert records.splits(tmp_path) == ('test', 'train')
  with pytest.raises(records.RecordError, match="no split 'dev', there are test, train"):
    records.files(tmp_path, 'dev')


def test_of_a_single_file_no_other_split_is_read(tmp_path):
  path = write(tmp_path / 'train.parquet', ROWS)
  assert records.files(path) == records.files(path, 'train') == [path]
  with pytest.raises(records.RecordError, match="train.parquet: no split 'test', as this is one"):
    list(records.each(path, dict, 'test'))


def test_a_folder_per_split_and_one_of_jsonl_are_read(tmp_path):
  write(tmp_path / 'hub' / 'train' / '0000.parquet', ROWS)
  write(tmp_path / 'hub' / 'test' / '0000.parquet', ROWS[:1])
  assert list(records.each(tmp_path / 'hub', dict, 'test')) == ROWS[:1]
  with pytest.raises(records.RecordError, match='hub: data in test, train: give one of them'):
    records.files(tmp_path / 'hub')
  # As the hub converts datasets itself: a folder for each configuration above that of the split.
  write(tmp_path / 'convert' / 'default' / 'train' / '0000.parquet', ROWS)
  (tmp_path / 'convert' / '.cache' / 'train').mkdir(parents=True)
  assert list(records.each(tmp_path / 'convert', dict)) == ROWS
  write(tmp_path / 'convert' / 'other' / 'train' / '0000.parquet', ROWS)
  with pytest.raises(records.RecordError, match='convert: data in default, other: give one of'):
    records.files(tmp_path / 'convert')
  (tmp_path / 'lines').mkdir()
  (tmp_path / 'lines' / 'train.jsonl').write_text('{"a": 1}\n')
  assert list(records.each(tmp_path / 'lines', dict)) == [{'a': 1}]
  (tmp_path / 'empty').mkdir()
  with pytest.raises(records.RecordError, match='empty: no .parquet or .jsonl'):
    records.files(tmp_path / 'empty')


def test_a_split_in_two_forms_is_refused(tmp_path):
  write(tmp_path / 'train.parquet', ROWS)
  (tmp_path / 'test.jsonl').write_text('{"a": 1}\n')
  assert list(records.each(tmp_path, dict)) == ROWS
  (tmp_path / 'train.jsonl').write_text('{"a": 1}\n')
  with pytest.raises(records.RecordError, match='train is there twice, train.parquet and train.js'):
    records.files(tmp_path)


def test_a_row_that_is_refused_is_named_with_its_file_and_number(tmp_path):
  path = write(tmp_path / 'a.parquet', [*ROWS, ROWS[0] | {'problem': ' '}], row_group_size=2)
  with pytest.raises(records.RecordError, match=r"a\.parquet, row 6: field 'question' is empty"):
    jsonl.load(path, records.columns('question=problem'))
  with pytest.raises(records.RecordError, match='row 1: no column .q., there are answer, c.*lev'):
    jsonl.load(path, records.columns('question=q'))
  with pytest.raises(records.RecordError, match="row 1: no field 'question', found .*'problem'"):
    jsonl.load(path)
  exact = [{'question': 'Q', 'answer': decimal.Decimal('1.50')}]
  (problem,) = jsonl.load(write(tmp_path / 'c.parquet', exact))
  assert problem.answer == '1.50'
  stamp = write(tmp_path / 'b.parquet', [{'question': 'Q', 'answer': datetime.date(2020, 1, 1)}])
  with pytest.raises(records.RecordError, match="row 1: field 'answer' holds datetime.date"):
    jsonl.load(stamp)


def test_a_field_that_stands_twice_is_refused_with_its_name(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text('{"question": "a?", "answer": 1}\n{"question": "b?", "question": "c?"}\n')
  with pytest.raises(records.RecordError, match="line 2: has the field 'question' twice"):
    list(records.each(path, dict))


@pytest.mark.parametrize('damage', ['short', 'middle', 'text', 'pointer', 'empty', 'no rows'])
def test_an_unreadable_parquet_is_one_line_with_its_name(tmp_path, damage):
  path = write(tmp_path / 'a.parquet', ROWS, compression='zstd')
  whole = path.read_bytes()
  content = {
    'short': whole[: len(whole) // 2],
    'middle': whole[:4] + b'\xff' * 200 + whole[204:],
    'text': b'question,answer\n' * 9,
    'pointer': b'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n',
    'empty': b'',
  }
  if damage == 'no rows':
    parquet.write_table(pa.table({'question': pa.array([], pa.string())}), path)
  else:
    path.write_bytes(content[damage])
  with pytest.raises(records.RecordError, match=r'a\.parquet: ') as refused:
    jsonl.load(path, records.columns('question=problem'))
  assert '\n' not in str(refused.value)
  assert ('Git LFS pointer' in str(refused.value)) == (damage == 'pointer')


def test_a_missing_file_is_an_os_error(tmp_path):
  for name in ('none.parquet', 'none.jsonl'):
    with pytest.raises(FileNotFoundError, match=name):
      list(records.each(tmp_path / name, dict))


@pytest.mark.parametrize(
  'names, why',
  [
    (
      ['train-00000-of-00002.parquet'],
      'train-00001-of-00002.parquet is missing beside train-00000',
    ),
    (['train-0-of-3.jsonl'], 'train-1-of-3.jsonl and 1 more is missing'),
    (['train-00002-of-00003.jsonl', 'train-00003-of-00003.jsonl'], 'train-00001-of-00003.jsonl is'),
    (
      ['train-00000-of-00001.parquet', 'train-00000-of-00001-abcdef.parquet'],
      'two sets of files of one split (train-00000-of-00001-abcdef.parquet, train-00000-of-00001.p',
    ),
    (['train-00000-of-00001.jsonl', 'train.jsonl'], 'two sets of files of one split'),
    (['train-00000-of-00001.jsonl', 'train-00000-of-00002.jsonl'], 'two sets of files'),
    (['train-00000-of-00002-ab.parquet', 'train-00001-of-00002-cd.parquet'], ''),
    (['train-1-of-2.jsonl', 'train-2-of-2.jsonl', 'test.jsonl'], ''),
  ],
)
def test_a_split_is_whole_and_there_once(tmp_path, names, why):
  for name in names:
    (tmp_path / name).write_text('{}')
  if not why:
    assert len(records.files(tmp_path, 'train')) == 2
    return
  with pytest.raises(records.RecordError, match=f'{tmp_path}: .*{re.escape(why)}'):
    records.files(tmp_path, 'train')


@pytest.mark.parametrize('kind', [pa.float16(), pa.float32(), pa.float64()])
def test_a_number_is_read_by_its_shortest_text_in_its_own_precision(tmp_path, kind):
  held = pa.struct([('a', pa.list_(kind))])
  table = pa.table(
    {
      'question': ['Q', 'Q'],
      'answer': pa.array([0.1, 2048.5], pa.float32() if kind == pa.float16() else kind),
      'json': pa.array([None, {'a': [0.1, None]}], held),
      'narrow': pa.array([0.1, None], pa.float64()).cast(pa.float32()).cast(kind, safe=False),
    }
  )
  parquet.write_table(table, tmp_path / 'a.parquet')
  first, second = records.each(tmp_path / 'a.parquet', dict)
  assert (first['answer'], second['answer']) == (0.1, 2048.5)
  assert second['json'] == {'a': [0.1, None]} and second['narrow'] is None
  assert jsonl.load(tmp_path / 'a.parquet', limit=1)[0].answer == '0.1'


@pytest.mark.parametrize('text', ['=a', 'a=', 'a=b,a=c', 'a,a'])
def test_columns_that_say_nothing_new_are_refused(text):
  with pytest.raises(ValueError, match='is no new FIELD=COLUMN'):
    records.columns(text)
