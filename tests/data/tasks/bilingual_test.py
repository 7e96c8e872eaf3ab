"""The world in two languages: Chinese questions by a reader of their text, thoughts in words."""

import collections
import hashlib
import re

import numpy as np
import pytest

from r1jax.data import template
from r1jax.data.problem import Problem
from r1jax.data.tasks import corpus, phrases, thoughts, tiny_world
from r1jax.rewards import language, service

WORLD = tiny_world.WorldConfig(languages=tiny_world.BILINGUAL)
PROBLEMS = [tiny_world.problem(11, index, WORLD) for index in range(3000)]
CHINESE = [p for p in PROBLEMS if p.language == 'zh']
MIXING = corpus.CorpusConfig(
  world=WORLD, connected=True, other=0.2, switching=0.3, requested=0.2, requested_right=0.6
)
DOCUMENTS = [corpus.document(5, index, MIXING) for index in range(3000)]
THOUGHTS = [d for d in DOCUMENTS if d.style in ('worked_tagged', 'corrected')]
_GAINS = {'买来', '找到', '得到', '赢得', '多', '+'}
_LOSSES = {'卖掉', '丢失', '送出', '掉了', '少', '-'}
_SIZES = {'周': 7, '打': 12, '只手': 5, '辆车': 4, '双': 2}
_RANKS = '一二三四五六七八'


def _total(start, moves):
  for sign, number in moves:
    assert sign in _GAINS | _LOSSES
    start += int(number) if sign in _GAINS else -int(number)
  return start


def _sum(expression):
  words = expression.split()
  return _total(int(words[0]), zip(words[1::2], words[2::2]))


def solve(question):
  """Answer of a Chinese question."""
  if found := re.fullmatch(r'(.*) 等于多少', question):
    return _sum(found[1])
  if found := re.fullmatch(r'哪个更(大|小), (.*) 还是 (.*)', question):
    return (max if found[1] == '大' else min)(_sum(found[2]), _sum(found[3]))
  if found := re.fullmatch(r'(.*) 中第(.)(大|小)的是哪个', question):
    numbers = sorted(map(int, found[1].split()), reverse=found[3] == '大')
    return numbers[_RANKS.index(found[2])]
  if found := re.fullmatch(r'(\d) (\S+)是多少\S+, (.*)', question):
    return _total(int(found[1]) * _SIZES[found[2]], (m.split() for m in found[3].split(', ')))
  found = re.fullmatch(r'\S+有 (\d) \S+, (.*), 现在有多少\S+', question)
  return _total(int(found[1]), (m.split() for m in found[2].split(', ')))


def test_the_answer_is_what_an_independent_reading_of_the_chinese_question_gives():
  for problem in CHINESE:
    assert str(solve(problem.question)) == problem.answer, problem
    assert problem.steps[-1].split()[-1] == problem.answer


def test_every_kind_is_asked_in_both_languages_in_their_shares():
  counts = collections.Counter((p.kind, p.language) for p in PROBLEMS)
  for kind, share in tiny_world.WorldConfig().kinds:
    for spoken in ('en', 'zh'):
      expected = share / 2 * len(PROBLEMS)
      assert abs(counts[kind, spoken] - expected) < 5 * expected**0.5, (kind, spoken)


def test_a_chinese_question_has_chinese_words_only_and_an_english_one_none():
  for problem in PROBLEMS:
    assert bool(re.search(r'[A-Za-z]', problem.question)) == (problem.language == 'en')
    assert bool(re.search(r'[\u4e00-\u9fff]', problem.question)) == (problem.language == 'zh')


def test_heldout_questions_of_both_languages_are_in_no_training_text():
  held = [tiny_world.problem(11, i, WORLD, 'heldout') for i in range(500)]
  assert {p.language for p in held} == {'en', 'zh'}
  asked = {corpus.question_of(d.text) for d in DOCUMENTS} | {p.question for p in PROBLEMS}
  assert not asked & {p.question for p in held}
  corpus.check_training_texts(d.text for d in DOCUMENTS)
  zh = next(p for p in held if p.language == 'zh')
  with pytest.raises(ValueError, match='text 0 asks a held-out question'):
    corpus.check_training_texts([template.render(zh.question)])


def test_the_english_world_and_its_corpus_are_those_of_the_shipped_base():
  digest = lambda lines: hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]
  documents = [corpus.document(0, i).text for i in range(1000)]
  assert digest(documents) == '69937ca93e8d77eb'
  problems = [tiny_world.problem(0, i, split=s) for s in ('train', 'heldout') for i in range(1000)]
  told = [repr((p.question, p.answer, p.kind, p.level, p.steps)) for p in problems]
  assert digest(told) == '4cbd6d10501738a7'


def test_a_solution_in_words_keeps_its_arithmetic_and_speaks_one_language():
  for problem in PROBLEMS[:600]:
    for spoken in ('en', 'zh'):
      lines = thoughts.lines(problem, (spoken,) * (len(problem.steps) + 1))
      numbers = lambda texts: [re.findall(r'\d+', text) for text in texts]
      assert numbers(lines) == [*numbers(problem.steps), [problem.answer]]
      ours, words = language.count(', '.join(lines), spoken)
      assert ours == words >= len(lines), lines


def test_a_line_of_words_says_the_same_in_both_languages():
  problem = Problem('?', '7', 'ordering', 1, ('first 3', 'second 7'), 'en')
  assert thoughts.lines(problem, ('zh',) * 3) == ('第一 3', '第二 7', '所以答案是 7')
  problem = Problem('?', '7', 'comparison', 1, ('7 和 9 中更小的是 7',), 'zh')
  assert thoughts.lines(problem, ('en', 'zh')) == ('the smaller of 7 and 9 is 7', '所以答案是 7')
  with pytest.raises(ValueError, match='1 steps and a conclusion, but 1 languages'):
    thoughts.lines(problem, ('en',))


def test_the_readable_form_is_graded_right_in_both_languages():
  for problem in PROBLEMS[:200]:
    reply = template.enclose(*thoughts.readable(problem, np.random.default_rng(0)))
    assert service.judge(reply, problem.answer).score == 1, reply
    wrong = template.enclose('', phrases.LANGUAGES[problem.language].bare[1].format(99))
    assert service.judge(wrong, problem.answer).score == 0
    assert language.check(reply, problem.language).score == 1


def test_thoughts_are_in_the_other_language_or_switch_in_their_shares():
  shares = [language.check(d.reply, d.problem.language).score for d in THOUGHTS]
  total = len(shares)
  for share, hits in ((0.2, shares.count(0.0)), (0.5, shares.count(1.0))):
    assert abs(hits / total - share) < 5 * (share * (1 - share) / total) ** 0.5
  assert 0.5 < np.mean(shares) < 0.8


def test_a_mixing_thought_is_as_right_as_any_other():
  for document in THOUGHTS:
    assert service.judge(document.reply, document.problem.answer).score == 1, document


def test_without_mixing_every_word_of_a_thought_is_in_the_language_of_its_question():
  cfg = corpus.CorpusConfig(world=WORLD, connected=True)
  for index in range(400):
    document = corpus.document(5, index, cfg)
    assert language.check(document.reply, document.problem.language).score in (0, 1)
    if document.style in ('worked_tagged', 'corrected', 'tagged'):
      assert language.check(document.reply, document.problem.language).score == 1, document


def test_general_requests_come_in_their_share_with_the_wanted_reply_as_often_as_asked():
  general = [d for d in DOCUMENTS if d.style == corpus.GENERAL]
  assert abs(len(general) / len(DOCUMENTS) - 0.2) < 0.04
  right = sum(template.parse(d.reply).answers in ((f' {d.problem.answer} ',), ()) for d in general)
  bare = [d for d in general if template.THINK not in d.reply]
  right -= sum(d.reply.strip() != d.problem.answer for d in bare)
  assert abs(right / len(general) - 0.6) < 0.12


@pytest.mark.parametrize(
  'wrong', [dict(other=0.2), dict(connected=True, other=0.6, switching=0.6), dict(requested=1.5)]
)
def test_impossible_mixtures_are_refused(wrong):
  with pytest.raises(ValueError, match='other|within'):
    corpus.CorpusConfig(**wrong)


def test_an_unknown_language_is_refused():
  with pytest.raises(ValueError, match='languages=.*: fr is none of en, zh'):
    tiny_world.WorldConfig(languages=(('fr', 1.0),))
