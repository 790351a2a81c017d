"""Flags made from option classes, through a small command of their own."""

import subprocess
import sys
import textwrap

import pytest

import deeplab

COMMAND = textwrap.dedent("""
    from deeplab import flags
    from deeplab.errors import InputError
    from deeplab.options import ModelOptions, TrainingInputOptions, TrainingOptions

    def main(model, training_input, training):
      print(model.output_stride, model.atrous_rates, model.use_decoder,
            training_input.filenames, training.rates,
            sorted(flags.given(ModelOptions)))
      if training.num_steps == 13:
        raise InputError('steps.txt: thirteen')
      if training.num_steps == 14:
        open('/nonexistent/file')

    flags.run(main, ModelOptions, TrainingInputOptions, TrainingOptions, description='A test.',
              uses_tensorflow=False)
    """)


def run(*arguments):
  return subprocess.run(
    [sys.executable, '-c', COMMAND, *arguments], capture_output=True, text=True, check=False
  )


def test_values_reach_the_options():
  result = run(
    '--filenames=a,b',
    '--filenames',
    'c',
    '--atrous_rates=6,12',
    '--atrous_rates=18',
    '--output_stride=8',
    '--nouse_decoder',
    '--boundaries=10,20',
    '--rates=.1,.01',
  )
  assert result.returncode == 0, result.stderr
  assert (
    result.stdout == "8 (6, 12, 18) False ('a,b', 'c') (0.1, 0.01) "
    "['atrous_rates', 'output_stride', 'use_decoder']\n"
  )


def test_help_is_grouped_and_does_not_import_tensorflow():
  program = COMMAND.replace(
    'flags.run',
    'import sys, atexit; atexit.register(lambda: print("tensorflow" in sys.modules)); flags.run',
  ).replace('uses_tensorflow=False', 'uses_tensorflow=True')
  result = subprocess.run(
    [sys.executable, '-c', program, '--help'], capture_output=True, text=True, check=False
  )
  assert result.returncode == 0
  assert result.stdout.splitlines()[-1] == 'False'
  positions = [
    result.stdout.index(text)
    for text in (
      'A test.',
      'Model:',
      '--model_variant=resnet_v1_50|',
      'Training input:',
      '--crop_size_height=INT  [default: 513]',
      'Training:',
      '--momentum=FLOAT  [default: 0.9]',
    )
  ]
  assert positions == sorted(positions)


def test_version_before_anything_else():
  """Required flags are not asked for, and TensorFlow is not waited for."""
  for arguments in (['--version'], ['--num_steps=many', '-version']):
    result = run(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (
      0,
      f'deeplab-tf {deeplab.__version__}\n',
      '',
    )
  assert '--version the version' in run('--help').stdout


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--filename=a'], "Unknown command line flag 'filename'. Did you mean: filenames ?"),
    (['--output_stride=7'], 'flag --output_stride=7: value should be one of <8|16|32>'),
    (['--batch_size=1e20'], 'batch_size=1e20: must be a whole number from 1 to 65536, such as '),
    (['--atrous_rates=6,many'], 'flag --atrous_rates=many: must be a whole number from 1 to '),
    (['--weight_decay=many'], 'flag --weight_decay=many: must be a number from 0.0 to '),
    (
      ['--flagfile=absent.txt'],
      '--flagfile=absent.txt: cannot be read (No such file or directory); give a',
    ),
    (['--flagfile=/bin/sh'], '--flagfile=/bin/sh: is not a text file; give'),
    (['picture.jpg'], "unexpected argument 'picture.jpg'"),
  ],
)
def test_wrong_flags_end_in_one_line_and_status_2(arguments, message):
  result = run('--filenames=a', *arguments)
  assert (result.returncode, result.stdout) == (2, '')
  assert len(result.stderr.splitlines()) == 1 and message in result.stderr


@pytest.mark.parametrize(
  'arguments, message',
  [
    ([], '--filenames is required'),
    (
      ['--filenames=a', '--crop_size_height=0'],
      '--crop_size_height=0: must be at least 1 and at most ',
    ),
    (['--filenames=a', '--atrous_rates=-6'], '--atrous_rates=-6: must be at least 1'),
    (['--filenames=a', '--weight_decay=nan'], '--weight_decay=nan: must be a finite number'),
    (['--filenames=a', '--rates=.1'], '--rates has 1 values'),
    (['--filenames=a', '--boundaries=20,10', '--rates=.1,.01'], 'must increase'),
    (['--filenames=a', '--min_rescale_factor=3'], 'must not exceed --max_rescale_factor=2.0'),
    (['--filenames=a', '--depth_multiplier=0.5'], 'only mobilenet_v2 has one'),
    (['--filenames=a', '--num_steps=13'], 'steps.txt: thirteen'),
    (['--filenames=a', '--num_steps=14'], "No such file or directory: '/nonexistent/file'"),
  ],
)
def test_bad_values_end_in_one_line_and_status_1(arguments, message):
  result = run(*arguments)
  assert result.returncode == 1
  assert len(result.stderr.splitlines()) == 1 and message in result.stderr, result.stderr


def test_an_older_name_sets_the_flag_and_counts_as_given():
  program = textwrap.dedent("""
      from deeplab import flags
      from deeplab.options import PreviewOptions
      flags.run(lambda options: print(options.colormap, sorted(flags.given(PreviewOptions))),
                PreviewOptions, description='A test.', uses_tensorflow=False)
      """)
  result = subprocess.run(
    [sys.executable, '-c', program, '--label_colormap=ade20k'],
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout == "ade20k ['colormap']\n"


MORE_VALUES = textwrap.dedent("""
    from deeplab import flags
    from deeplab.options import InferenceOptions, ModelOptions

    flags.run(lambda inference, model: print(inference.input, inference.output_path),
              InferenceOptions, ModelOptions, description='A test.', uses_tensorflow=False,
              help_order=(ModelOptions, InferenceOptions), saved_with_checkpoint=ModelOptions,
              more_values_of='input')
    """)


def run_more_values(*arguments):
  return subprocess.run(
    [sys.executable, '-c', MORE_VALUES, '--ckpt_path=c', *arguments],
    capture_output=True,
    text=True,
    check=False,
  )


def test_what_a_shell_makes_of_a_glob_follows_its_flag():
  result = run_more_values('--input', 'a.jpg', 'b.jpg', 'c d.jpg', '--output_path=o')
  assert result.stdout == "('a.jpg', 'b.jpg', 'c d.jpg') o\n", result.stderr
  result = run_more_values('a.jpg')
  assert result.returncode == 2 and "unexpected argument 'a.jpg'" in result.stderr


@pytest.mark.parametrize(
  'arguments, message',
  [
    (
      ['--input', 'a.jpg', '--cutout_classes', 'person', 'cat', '--legend'],
      "'cat' after --cutout_classes: separate several values by commas",
    ),
    (['--input=a.jpg', '--output_type=ids', 'color'], "'color' after --output_type: separate"),
    (
      ['--input=a.jpg', '--nolegend', 'b.jpg'],
      "'b.jpg' after --nolegend: words without a flag belong directly after --input",
    ),
    (
      ['a.jpg', '--input=b.jpg'],
      "'a.jpg' after --ckpt_path: words without a flag belong directly after --input",
    ),
  ],
)
def test_words_after_another_flag_are_no_inputs(arguments, message):
  result = run_more_values(*arguments)
  assert result.returncode == 2 and f'unexpected argument {message}' in result.stderr
  assert result.stderr.count('\n') == 1


def test_words_after_the_inputs_and_after_dashes_are_inputs():
  result = run_more_values('--legend', '--input=a', 'b', '--output_path', 'o', '--', 'c')
  assert result.stdout == "('a', 'b', 'c') o\n", result.stderr


@pytest.mark.parametrize('options', [(), ('-u',)])  # With a buffer and without.
@pytest.mark.parametrize('num_lines', [1, 100_000])
def test_where_the_reader_goes_the_command_ends_quietly(num_lines, options):
  program = textwrap.dedent(f"""
      import sys
      from deeplab import flags

      def main():
        sys.stdin.read()
        for line in range({num_lines}):
          print(line)

      flags.run(main, description='A test.', uses_tensorflow=False)
      """)
  pipe = subprocess.PIPE
  with subprocess.Popen(
    [sys.executable, *options, '-c', program], stdin=pipe, stdout=pipe, stderr=pipe
  ) as process:
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == b''
    assert process.wait() == 141


def test_help_shows_no_default_that_the_checkpoint_or_the_data_decide():
  text = run_more_values('--help').stdout
  assert 'Model, where the checkpoint does not say:\n  --model_variant=resnet_v1_50|' in text
  assert text.index('Model, where') < text.index('Inference:')
  assert '--num_classes=INT\n' in text and '--colormap=TEXT\n' in text
  assert '--overlay_alpha=FLOAT  [default: 0.5]\n' in text
