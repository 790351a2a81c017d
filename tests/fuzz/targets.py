"""All kinds of input. Their order and weights decide which case a number is."""

from . import (
  annotation_files,
  archive_files,
  commands,
  exported,
  flag_values,
  graphs,
  pictures,
  records,
  side_files,
  weights,
)

ALL = (
  *pictures.TARGETS,
  *records.TARGETS,
  *weights.TARGETS,
  *archive_files.TARGETS,
  *graphs.TARGETS,
  *side_files.TARGETS,
  *annotation_files.TARGETS,
  *flag_values.TARGETS,
  *commands.TARGETS,
  *exported.TARGETS,
)
