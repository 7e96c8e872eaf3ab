"""Packaging of r1jax.

`kernels/` and `experiments/` stand at the top of the tree, where a reader looks for them, and
install as `r1jax.kernels` and `r1jax.experiments`.
"""

import pathlib

import setuptools

HERE = pathlib.Path(__file__).resolve().parent
INSTALL = [
  'jax>=0.10',
  'flax>=0.12',
  'optax>=0.2.5',
  'orbax-checkpoint>=0.11.20',
  'sentencepiece>=0.2.0',
  'grain>=0.2.10',
  'chex>=0.1.90',
  'ml-collections>=1.1',
  'tensorflow-datasets>=4.9.9',
  'array-record>=0.8',
  'absl-py>=2.1',
  'numpy>=2.0',
  'tokenizers>=0.21',
  'huggingface-hub>=0.25',  # which tokenizers brings in any case
  'safetensors>=0.5',
  'gguf>=0.17',
  'pyarrow>=15',
  'jinja2>=3.1',
  'math-verify>=0.9',
  'rich>=13.9',
  'matplotlib>=3.9',
  'tensorboardX>=2.6.2',
  'protobuf>=5.0',
  'scipy>=1.13',
  'filelock>=3.12',  # JAX bounds its folder of compiled programs by it
]

# XLA's compiler for GPUs and NVIDIA's assembler, 0.7 GB, without the libraries that a GPU needs to
# run what they make.
GPU_COMPILER = ['jax[cuda13-local]>=0.10', 'nvidia-cuda-nvcc>=13,<14']
X86_LINUX = 'sys_platform == "linux" and platform_machine == "x86_64"'

setuptools.setup(
  name='r1jax',
  version='0.1.0',
  description="DeepSeek-R1's whole recipe in JAX",
  long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
  long_description_content_type='text/markdown',
  author='r1jax developers',
  license='Apache-2.0',
  license_files=['LICENSE', 'NOTICE'],
  keywords=['reinforcement learning', 'language models', 'reasoning', 'GRPO', 'JAX'],
  classifiers=[
    'Development Status :: 4 - Beta',
    'Environment :: Console',
    'Intended Audience :: Developers',
    'Intended Audience :: Science/Research',
    'Operating System :: POSIX :: Linux',
    'Programming Language :: Python :: 3',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
    'Programming Language :: Python :: 3.13',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
  ],
  python_requires='>=3.11',
  packages=[
    *setuptools.find_packages(include=['r1jax', 'r1jax.*']),
    'r1jax.experiments',
    'r1jax.kernels',
  ],
  package_dir={'r1jax.experiments': 'experiments', 'r1jax.kernels': 'kernels'},
  package_data={'r1jax': ['assets/**/*']},
  entry_points={'console_scripts': ['r1jax = r1jax.cli.commands:main']},
  install_requires=INSTALL,
  extras_require={
    'gpu': ['jax[cuda13]>=0.10'],
    'gpu-compiler': GPU_COMPILER,
    'tpu': ['jax[tpu]>=0.10'],
    # Where figures may go beside TensorBoard: config.loop.sinks.
    'wandb': ['wandb>=0.19'],
    'trackio': ['trackio>=0.10'],
    # Looks at a run's events: tensorboard --logdir RUN.
    'tensorboard': ['tensorboard>=2.16'],
    'docs': ['mkdocs-material>=9.6'],
    'test': [
      'pytest>=8.3',
      'pytest-xdist>=3.6',
      'hypothesis>=6.120',
      'ruff>=0.11',
      # Compilers for TPUs and GPUs, which need neither, in the versions that belong to this jax.
      *(f'{package}; {X86_LINUX}' for package in ('jax[tpu]>=0.10', *GPU_COMPILER)),
    ],
  },
)
