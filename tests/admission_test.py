"""Who is let in among the processes of a job, and where that is listened for."""

import contextlib
import socket
import threading

import pytest

from r1jax import admission

KEY = b'sixteen letters!'


@contextlib.contextmanager
def door(count=3, key=KEY, seconds=20.0):
  """An open door, and a function that closes it and gives the numbers of those let in."""
  found = {}
  with admission.Door('127.0.0.1', count, key) as opened:
    thread = threading.Thread(target=lambda: found.update(opened.admit(seconds)))
    thread.start()

    def let_in():
      thread.join()
      return sorted(found)

    yield opened, let_in
    thread.join()
  for connection in found.values():
    connection.close()


def call(opened):
  return socket.create_connection(('127.0.0.1', opened.port), timeout=20)


def says(opened, line):
  """What the door answers to a line; '' where it closes."""
  with call(opened) as connection:
    connection.sendall(line)
    with contextlib.suppress(ConnectionResetError):
      return connection.recv(1000)
  return b''


def test_those_with_the_secret_are_let_in_and_know_the_door():
  with door() as (opened, let_in), call(opened) as one, call(opened) as two:
    assert admission.introduce(one, opened.token, 1, KEY)
    assert admission.introduce(two, opened.token, 2, KEY)
    assert let_in() == [1, 2] and opened.refused == 0


@pytest.mark.parametrize('key', [b'', b'another secret!!'])
def test_who_knows_the_token_but_not_the_secret_is_dropped_and_counted(key):
  with door(count=2) as (opened, let_in):
    with call(opened) as stranger:
      assert not admission.introduce(stranger, opened.token, 1, key)
    with call(opened) as process:
      assert admission.introduce(process, opened.token, 1, KEY)
    assert let_in() == [1] and opened.refused == 1


def test_a_door_without_the_secret_is_not_believed():
  with door(count=2, key=b'', seconds=1.0) as (opened, let_in), call(opened) as process:
    assert not admission.introduce(process, opened.token, 1, KEY)
    assert let_in() == []


def test_without_a_secret_the_token_is_what_counts():
  with door(count=2, key=b'') as (opened, let_in):
    with call(opened) as stranger:
      assert not admission.introduce(stranger, '0' * 32, 1)
    with call(opened) as process:
      assert admission.introduce(process, opened.token, 1)
    assert let_in() == [1] and opened.refused == 1


def test_nonsense_is_dropped_and_counted_and_keeps_nobody_waiting():
  with door(count=2) as (opened, let_in):
    right = admission.proof(KEY, opened.token, 'process', 1).encode()
    lines = (
      b'\n', b'\x00\xff\n', b'GET / HTTP/1.1\n', b'1 \n', b'x ' + right + b'\n',
      b'0 ' + admission.proof(KEY, opened.token, 'process', 0).encode() + b'\n',
      b'2 ' + admission.proof(KEY, opened.token, 'process', 2).encode() + b'\n',
      b'-1 ' + right + b'\n', b'1' * 100_000, '\u0661 '.encode() + right + b'\n',
    )  # fmt: skip
    with call(opened):  # one that says nothing at all
      for line in lines:
        assert says(opened, line) == b''
      with call(opened) as process:
        assert admission.introduce(process, opened.token, 1, KEY)
        assert let_in() == [1]
      assert opened.refused == len(lines)


def test_a_number_is_taken_once():
  with door(count=3, seconds=1.0) as (opened, let_in), call(opened) as one, call(opened) as two:
    assert admission.introduce(one, opened.token, 1, KEY)
    assert not admission.introduce(two, opened.token, 1, KEY)
    assert let_in() == [1] and opened.refused == 1


def test_the_door_is_bound_to_the_address_that_the_others_are_told():
  with admission.Door('127.0.0.2', 2) as opened:
    socket.create_connection(('127.0.0.2', opened.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
      socket.create_connection(('127.0.0.1', opened.port), timeout=5)


def test_an_address_of_others_cannot_be_bound():
  assert admission.is_ours('127.0.0.1') and admission.is_ours('localhost')
  assert not admission.is_ours('192.0.2.1')  # reserved for documentation
  assert not admission.is_ours('nobody.invalid')


def test_the_secret_is_read_from_a_private_file_or_the_environment(tmp_path, monkeypatch):
  monkeypatch.delenv(admission.SECRET, raising=False)
  monkeypatch.delenv(admission.SECRET_FILE, raising=False)
  assert admission.secret() == b''
  monkeypatch.setenv(admission.SECRET, ' of sixteen letters ')
  assert admission.secret() == b'of sixteen letters'
  path = tmp_path / 'secret'
  path.write_text('in a file of my own\n')
  monkeypatch.setenv(admission.SECRET_FILE, str(path))
  path.chmod(0o600)
  assert admission.secret() == b'in a file of my own'


@pytest.mark.parametrize('mode', [0o644, 0o640, 0o606])
def test_a_file_that_others_read_is_no_secret(tmp_path, monkeypatch, mode):
  path = tmp_path / 'secret'
  path.write_text('in a file of my own\n')
  path.chmod(mode)
  monkeypatch.setenv(admission.SECRET_FILE, str(path))
  with pytest.raises(ValueError, match=f'has mode {mode:o}: others may read it'):
    admission.secret()


def test_a_secret_that_is_short_or_not_there_is_refused(tmp_path, monkeypatch):
  monkeypatch.setenv(admission.SECRET, 'short')
  with pytest.raises(ValueError, match='R1JAX_SECRET holds 5 characters'):
    admission.secret()
  monkeypatch.setenv(admission.SECRET_FILE, str(tmp_path / 'none'))
  with pytest.raises(ValueError, match='none cannot be read'):
    admission.secret()
