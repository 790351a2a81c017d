"""Every option of the toolkit: name, type, default, allowed values and help, in one place.

An options object is a frozen dataclass that checks itself when it is made, so a wrong value is
refused before TensorFlow is imported. `flags.py` makes command-line flags out of the classes; as a
library, construct them directly.
"""

from deeplab.options.checks import CheckedOptions, option
from deeplab.options.conversion import ConversionOptions
from deeplab.options.data import (
  DEFAULT_MAX_IMAGE_PIXELS,
  InspectionOptions,
  PreviewOptions,
  TrainingInputOptions,
)
from deeplab.options.distribution import (
  STRATEGIES,
  THIS_PROCESS,
  DistributionOptions,
  LocalClusterOptions,
)
from deeplab.options.engine import ENGINES, EngineOptions
from deeplab.options.export import (
  FORMATS,
  TFLITE_TYPES,
  ExportSourceOptions,
  ModelExportOptions,
)
from deeplab.options.inference import InferenceOptions
from deeplab.options.loss import LossOptions
from deeplab.options.model import (
  COMPUTE_DTYPES,
  DEPTH_MULTIPLIERS,
  MODEL_VARIANTS,
  OPERATIONS,
  OUTPUT_STRIDES,
  PREPROCESS_IMAGES_OPTIONS,
  USUAL_RATES,
  ComputeOptions,
  ModelOptions,
)
from deeplab.options.official import DownloadOptions, ExportOptions, ImportOptions
from deeplab.options.prediction import EvaluationOptions, PredictionOptions
from deeplab.options.training import RunOptions, TrainingOptions
from deeplab.options.validation import ValidationOptions

# What a command takes, in the order in which its run does.
OPTIONS_OF_TRAINING = (
  ModelOptions,
  ComputeOptions,
  TrainingInputOptions,
  TrainingOptions,
  LossOptions,
  ValidationOptions,
  RunOptions,
  DistributionOptions,
)
OPTIONS_OF_EVALUATION = (
  ModelOptions,
  PredictionOptions,
  EvaluationOptions,
  EngineOptions,
  DistributionOptions,
)
OPTIONS_OF_INFERENCE = (ModelOptions, PredictionOptions, InferenceOptions, EngineOptions)
