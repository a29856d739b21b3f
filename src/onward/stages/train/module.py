"""A PyTorch module as a function of rows: a float32 matrix in, float32 figures out."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

from onward.stages.train.function import AnswerError

TORCH: Final = "torch"


def is_module(value: Any) -> bool:
    """Say whether `value` is a ``torch.nn.Module``; whoever has one has imported PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


class ModuleFunction:
    """Calls a module on the CPU, in evaluation mode, without gradients.

    What it gives is what is predicted: activations (a sigmoid, a softmax) are the module's own.
    """

    def __init__(self, module: Any) -> None:
        self.module = module.cpu().eval()

    def __call__(self, x: Any) -> np.ndarray:
        """Return the module's output for a matrix or a DataFrame of numbers.

        Raises
        ------
        AnswerError
            There is text among the columns, or the output is no tensor.
        """
        import torch

        with torch.inference_mode():
            found = self.module(torch.from_numpy(_matrix(x)))
        if not isinstance(found, torch.Tensor):
            raise AnswerError(f"the module's forward() gave {type(found).__name__}, not a tensor")
        figures: np.ndarray = found.float().numpy()
        return figures


def _matrix(x: Any) -> np.ndarray:
    try:
        return np.array(x, dtype=np.float32, order="C")
    except (TypeError, ValueError):
        raise AnswerError(
            f"a PyTorch module takes numbers, and there is text among {', '.join(x.columns)}"
        ) from None
