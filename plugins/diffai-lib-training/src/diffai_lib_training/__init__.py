"""What a training left behind in an artefact: optimizer state, schedules, steps, metrics and hyperparameters."""

from __future__ import annotations

from diffai_lib_training.groups import ParameterGroup
from diffai_lib_training.hyperparameters import Hyperparameter
from diffai_lib_training.metrics import Direction, History, Metric, direction_of
from diffai_lib_training.optimizers import Optimizer, ParameterState
from diffai_lib_training.schedulers import Scheduler
from diffai_lib_training.schedules import learning_rates_at
from diffai_lib_training.training import LearningRate, Training, training_of
from diffai_lib_training.tree import Entry

__all__ = [
    "Direction",
    "Entry",
    "History",
    "Hyperparameter",
    "LearningRate",
    "Metric",
    "Optimizer",
    "ParameterGroup",
    "ParameterState",
    "Scheduler",
    "Training",
    "direction_of",
    "learning_rates_at",
    "training_of",
]
