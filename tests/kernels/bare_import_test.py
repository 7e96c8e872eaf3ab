"""Who starts Python in the checkout and imports `kernels` is not given ours for another package."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(code):
  """What a Python without JAX, started in the checkout, prints and says of `code`."""
  command = [sys.executable, '-c', f"import sys; sys.modules['jax'] = None; {code}"]
  return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_a_library_that_looks_for_the_hubs_kernels_finds_no_version_and_goes_on():
  asked = "import kernels; print(kernels.__file__, getattr(kernels, '__version__', 'none'))"
  done = run(asked)
  assert done.stdout.split() == [str(ROOT / 'kernels' / '__init__.py'), 'none'], done.stderr


def test_a_name_of_the_hubs_kernels_is_refused_with_the_reason():
  said = run('from kernels import get_kernel').stderr.splitlines()[-1]
  assert 'kernels.get_kernel: this is the folder of r1jax.kernels' in said and '-P' in said


def test_the_ops_are_found_under_their_own_name_beside_it():
  code = "import kernels, r1jax.kernels; print(hasattr(r1jax.kernels, 'attention'))"
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
  assert done.stdout.split() == ['True'], done.stderr
