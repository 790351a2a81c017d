"""What the parts of gpu_verdict.py found: numbers held against limits, lines, and a page to paste.

No TensorFlow here: whatever happens to a part's process, this can tell it.
"""

import dataclasses
import json
import math
import re

# In the order of the page.
STATES = ('FAIL', 'PASS', 'not run', 'measured')
_LONGEST_NOTE = 300


@dataclasses.dataclass(frozen=True)
class Outcome:
  """One line of the verdict.

  Attributes:
    part: name of the part that found it.
    what: what was looked at.
    state: one of STATES; 'measured' is a number without a limit.
    value, limit: the number and what it was held against, or None.
    is_at_least: the limit is a lower one.
    unit: of the value and the limit, or ''.
    note: why it was not run, what failed, or what to know of the number.
  """

  part: str
  what: str
  state: str
  value: float | None = None
  limit: float | None = None
  is_at_least: bool = False
  unit: str = ''
  note: str = ''

  def line(self) -> str:
    """As it is printed, state and part left out."""
    text = self.what
    if self.value is not None:
      text += f': {number(self.value)}'
      if self.limit is not None:
        text += f' (limit {">=" if self.is_at_least else "<="} {number(self.limit)})'
      if self.unit:
        text += f' {self.unit}'
    return f'{text}: {self.note}' if self.note else text


def judged(part, what, value, limit, *, is_at_least=False, unit='', note=''):
  """PASS where the number keeps the limit; a number that is not finite, or none, never does."""
  keeps = value is not None and math.isfinite(value)
  keeps = keeps and (value >= limit if is_at_least else value <= limit)
  return Outcome(
    part,
    what,
    'PASS' if keeps else 'FAIL',
    value=value,
    limit=limit,
    is_at_least=is_at_least,
    unit=unit,
    note=note if value is not None else 'there is no number',
  )


def number(value):
  """Three digits that count; whole numbers as they are."""
  return str(value) if isinstance(value, int) else f'{value:.3g}'


def as_note(text):
  """The text on one line, without the places of this machine, and not too long."""
  text = re.sub(r'(/[\w.+~-]+){2,}/', '.../', ' '.join(text.split()))
  return text if len(text) <= _LONGEST_NOTE else text[: _LONGEST_NOTE - 3] + '...'


class Findings:
  """What a part's process writes down, line by line, so that a crash loses nothing before it."""

  def __init__(self, path, part):
    self._file = open(path, 'a', encoding='utf-8')  # Until the process ends.
    self._part = part

  def judge(self, what, value, limit, **settings):
    """Writes `judged`; its arguments. Returns whether the limit is kept."""
    value = value if value is None else float(value)
    outcome = judged(self._part, what, value, limit, **settings)
    self._write(outcome=dataclasses.asdict(outcome))
    return outcome.state == 'PASS'

  def fail(self, what, note):
    self._write(outcome=dataclasses.asdict(Outcome(self._part, what, 'FAIL', note=as_note(note))))

  def not_run(self, what, reason):
    """For what cannot be run here, with the reason."""
    self._write(outcome=dataclasses.asdict(Outcome(self._part, what, 'not run', note=reason)))

  def measured(self, what, value, *, unit='', note=''):
    """A number that nothing is held against."""
    outcome = Outcome(self._part, what, 'measured', value=float(value), unit=unit, note=note)
    self._write(outcome=dataclasses.asdict(outcome))

  def row(self, table, **cells):
    """A row of a table of the page."""
    self._write(table=table, row=cells)

  def facts(self, **facts):
    """What the page says of the machine."""
    self._write(facts=facts)

  def done(self):
    """The part has come to its end."""
    self._write(done=True)

  def _write(self, **found):
    self._file.write(json.dumps(found) + '\n')
    self._file.flush()


@dataclasses.dataclass
class Verdict:
  """All that was found.

  Attributes:
    outcomes: of all parts, in the order of their ends.
    tables: name -> list of rows, dicts.
    facts: of the devices.
  """

  outcomes: list = dataclasses.field(default_factory=list)
  tables: dict = dataclasses.field(default_factory=dict)
  facts: dict = dataclasses.field(default_factory=dict)

  def take(self, found):
    """Adds one line of a Findings; returns its Outcome, or None for other lines."""
    self.facts.update(found.get('facts', {}))
    if 'table' in found:
      self.tables.setdefault(found['table'], []).append(found['row'])
    if 'outcome' not in found:
      return None
    self.outcomes.append(Outcome(**found['outcome']))
    return self.outcomes[-1]

  def counts(self):
    """state -> number of outcomes."""
    return {state: sum(each.state == state for each in self.outcomes) for state in STATES}

  def as_json(self, **more):
    """A dict for the JSON file."""
    outcomes = [dataclasses.asdict(each) for each in self.outcomes]
    return {**more, 'counts': self.counts(), 'devices': self.facts} | {
      'outcomes': outcomes,
      'tables': self.tables,
    }


def page(verdict, *, machine_line, about, is_dry_run, seconds):
  """The page to paste, Markdown.

  Args:
    verdict: the Verdict.
    machine_line: of the processor.
    about: lines of (name, value) on versions and settings.
    is_dry_run: nothing here is from a GPU, which the page says first.
    seconds: that all of it took.
  """
  counts = verdict.counts()
  title = 'GPU verdict: dry run on a CPU, no GPU was used' if is_dry_run else 'GPU verdict'
  lines = [f'# {title}', '']
  if is_dry_run:
    lines += [
      'Small networks on CPU devices in the place of GPUs. It shows that the command works, and '
      'says nothing of any GPU.',
      '',
    ]
  lines += [
    f'**{"FAIL" if counts["FAIL"] else "no FAIL"}**: '
    + ', '.join(f'{count} {state}' for state, count in counts.items())
    + f'; {seconds:.0f} s.',
    '',
    *_table(
      [
        {'': 'machine', 'here': machine_line},
        *({'': name, 'here': value} for name, value in about),
        *({'': name, 'here': value} for name, value in verdict.facts.items()),
      ]
    ),
  ]
  for state in STATES:
    found = [each for each in verdict.outcomes if each.state == state]
    if found:
      lines += [f'## {state}', '', *(f'- {each.part}: {each.line()}' for each in found), '']
  for name, rows in verdict.tables.items():
    lines += [f'## {name}', '', *_table(rows)]
  return '\n'.join(lines)


def _table(rows):
  """Lines of a Markdown table; the columns are those of all rows."""
  columns = list(dict.fromkeys(name for row in rows for name in row))
  lines = [f'| {" | ".join(columns)} |', '|---' * len(columns) + '|']
  lines += ['| ' + ' | '.join(_cell(row.get(name)) for name in columns) + ' |' for row in rows]
  return [*lines, '']


def _cell(value):
  if value is None:
    return ''
  return number(value) if isinstance(value, (int, float)) else str(value).replace('|', '/')
