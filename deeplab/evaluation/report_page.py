"""The evaluation report as one page of HTML, which opens from disk and shows the pictures beside
it.
"""

import html
import math

import numpy as np

from deeplab import undecodable_names
from deeplab.errors import shown
from deeplab.evaluation import evaluation_report, measures, report_words
from deeplab.evaluation.evaluation_report import Report

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 1280px;
  padding: 0 1.5em; }
h1 { font-size: 1.5em; margin-bottom: .2em; } h2 { font-size: 1.15em; margin-top: 2em; }
.origin { color: #666; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 1em; margin: 1.2em 0; }
.figures div { background: #f4f6f8; border-radius: 6px; padding: .6em 1em; }
.figures b { display: block; font-size: 1.35em; } .figures span { color: #666; }
table { border-collapse: collapse; } th, td { padding: .2em .7em; text-align: right; }
th { border-bottom: 2px solid #ccc; font-weight: 600; } td { border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; } tr.absent td { color: #aaa; }
.swatch { display: inline-block; width: .9em; height: .9em; border: 1px solid #888;
  margin-right: .5em; vertical-align: -1px; }
.bar { display: inline-block; height: .7em; background: #2171b5; }
td.bars { text-align: left; width: 210px; }
.warning { background: #fff6e0; border-left: 4px solid #e6a700; padding: .4em .8em;
  margin: .4em 0; }
img.confusion { max-width: 100%; border: 1px solid #ddd; }
.worst { display: grid; grid-template-columns: repeat(4, 1fr); gap: 6px; margin-bottom: 1.4em; }
.worst img { width: 100%; height: auto; background: #eee; }
.worst p { grid-column: 1 / -1; margin: 0; overflow-wrap: anywhere; }
.worst figcaption { color: #666; font-size: .85em; } figure { margin: 0; }
.wide { overflow-x: auto; } .wide td, .wide th { white-space: nowrap; }
dl.words { display: grid; grid-template-columns: max-content 1fr; gap: .15em 1em; margin: .6em 0; }
dl.words dt { color: #666; } dl.words dd { margin: 0; overflow-wrap: anywhere; }
details td { overflow-wrap: anywhere; } summary { cursor: pointer; color: #2171b5; }
@media (max-width: 700px) {
  body { margin: 1em auto; padding: 0 .8em; } h1 { font-size: 1.3em; }
  .figures { display: grid; grid-template-columns: 1fr 1fr; gap: .5em; margin: .8em 0; }
  .figures div { padding: .4em .7em; } .figures b { font-size: 1.15em; }
  th, td { padding: .25em .4em; } td.bars, th.bars { display: none; }
  .wide th:first-child, .wide td:first-child { position: sticky; left: 0; background: #fff; }
  .worst { grid-template-columns: 1fr 1fr; }
  dl.words { display: block; } dl.words dd { margin-bottom: .4em; }
}
"""

_NUM_MISTAKES = 15


def html_page(report: Report, worst: list[dict], color_map: np.ndarray) -> str:
  """The page.

  Args:
    report: what was found.
    worst: dicts with an image's scores and `pictures`, relative paths by kind; the worst first.
    color_map: uint8 [num_colors, 3].
  """
  warnings = ''.join(
    f'<p class="warning">{_escaped(line)}</p>' for line in evaluation_report.warnings(report)
  )
  return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<title>Evaluation of {_escaped(report_words.title(report))}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body>
<h1>Evaluation of {_escaped(report_words.title(report))}</h1>
{_words(report)}
<div class="figures">{''.join(_figure(name, value) for name, value in report.totals.items())}</div>
{warnings}
<h2>Classes</h2>{_class_table(report, color_map)}
<p>mIOU: {_escaped(evaluation_report.ABSENT_CLASS_POLICY)}.</p>
<h2>Confusion</h2>{_mistakes(report)}
<p><img class="confusion" src="confusion.png" alt="confusion matrix"></p>
<h2>Worst images</h2>{_worst_images(worst)}
<h2>Settings</h2>
<details><summary>all of them</summary>{_settings(report.settings)}</details>
<p class="origin">The numbers: <a href="report.json">report.json</a>,
<a href="per_class.csv">per_class.csv</a>,
<a href="per_image.csv">per_image.csv</a>, <a href="confusion.csv">confusion.csv</a></p>
</body></html>
"""


def _words(report):
  said = ''.join(
    f'<dt>{what}</dt><dd>{_escaped(text)}</dd>' for what, text in report_words.sentences(report)
  )
  return f'<dl class="words">{said}</dl>'


def _figure(name, value):
  text = str(value) if isinstance(value, int) else _number(value)
  title = {'mean_iou': 'mIOU', 'num_images': 'images'}.get(name, measures.title(name))
  return f'<div><b>{text}</b><span>{title}</span></div>'


def _class_table(report, color_map):
  measured = list(report.measured_per_class)
  titles = [
    'class',
    'IoU',
    '',
    *map(measures.title, measured),
    'accuracy',
    'precision',
    'pixels in truth',
    'pixels predicted',
  ]
  heads = (f'<th>{title}</th>' if title else '<th class="bars"></th>' for title in titles)
  lines = ['<div class="wide"><table><tr>', *heads, '</tr>']
  for row in report.rows:
    red, green, blue = color_map[row['index']].tolist()
    width = 0 if math.isnan(row['iou']) else round(200 * row['iou'])
    cells = [
      _number(row['iou']),
      None,
      *(_number(row[name]) for name in measured),
      _number(row['accuracy']),
      _number(row['precision']),
      f'{row["truth_pixels"]:,}',
      f'{row["predicted_pixels"]:,}',
    ]
    lines.append(
      f'<tr class="{"absent" if math.isnan(row["iou"]) else "present"}">'
      '<td><span class="swatch" '
      f'style="background:rgb({red},{green},{blue})"></span>{_escaped(row["name"])}</td>'
    )
    lines += [
      f'<td class="bars"><span class="bar" style="width:{width}px"></span></td>'
      if cell is None
      else f'<td>{cell}</td>'
      for cell in cells
    ]
    lines.append('</tr>')
  return ''.join(lines) + '</table></div>'


def _mistakes(report):
  """The commonest confusions in words, which a matrix of many classes hides."""
  confusion = report.result.confusion
  totals = confusion.sum(axis=1)
  wrong = np.where(np.eye(len(confusion), dtype=bool), 0, confusion)
  order = np.argsort(wrong, axis=None)[::-1][:_NUM_MISTAKES]
  lines = []
  for truth, predicted in zip(*np.unravel_index(order, wrong.shape)):
    if wrong[truth, predicted]:
      lines.append(
        f'<tr><td>{_escaped(report.class_names[truth])}</td>'
        f'<td>{_escaped(report.class_names[predicted])}</td>'
        f'<td>{wrong[truth, predicted]:,}</td>'
        f'<td>{100 * wrong[truth, predicted] / totals[truth]:.1f} %</td></tr>'
      )
  if not lines:
    return '<p>No pixel is wrong.</p>'
  return (
    '<p>The commonest mistakes:</p><div class="wide"><table><tr><th>truth</th>'
    '<th>predicted as</th><th>pixels</th>'
    f'<th>of the class</th></tr>{"".join(lines)}</table></div>'
  )


def _worst_images(worst):
  if not worst:
    return '<p>None kept.</p>'
  captions = {
    'image': 'image',
    'truth': 'truth (white: ignored)',
    'prediction': 'prediction',
    'errors': 'errors (red; light blue: ignored)',
  }
  lines = []
  for each in worst:
    lines.append(
      f'<div class="worst"><p><b>{_escaped(each["name"])}</b>: mIOU {_number(each["mean_iou"])}, '
      f'pixel accuracy {_number(each["pixel_accuracy"])}, '
      f'cross entropy {_number(each["cross_entropy"])}</p>'
    )
    lines += [
      f'<figure><a href="{path}"><img src="{path}" alt="{captions[kind]}"></a>'
      f'<figcaption>{captions[kind]}</figcaption></figure>'
      for kind, path in each['pictures'].items()
    ]
    lines.append('</div>')
  return ''.join(lines)


def _settings(settings):
  rows = ''.join(
    f'<tr><td>{_escaped(str(name))}</td><td '
    f'style="text-align:left">{_escaped(str(value))}</td></tr>'
    for name, value in settings.items()
  )
  return f'<table>{rows}</table>'


def _number(value):
  return '-' if math.isnan(value) else f'{value:.4f}'


def _escaped(text):
  return html.escape(shown(undecodable_names.to_text(text)))
