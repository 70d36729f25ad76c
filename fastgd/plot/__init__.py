"""Pictures of trainings, by matplotlib: ``pip install "fastgd[plot]"``.

Each class is a display in scikit-learn's convention: ``from_estimator`` computes and draws,
``plot`` draws again, on axes of one's own where ``ax`` is given, and ``ax_``, ``figure_`` and
``lines_`` are there to change. Estimators are never changed: what has to be trained is a clone.
A legend above the axes makes room for a title that was set before.
"""

from fastgd.plot._convergence import ConvergenceDisplay
from fastgd.plot._descent import DescentPathDisplay
from fastgd.plot._gradient_flow import GradientFlowDisplay
from fastgd.plot._learning_rate import LearningRateDisplay
from fastgd.plot._loss_curve import LossCurveDisplay
from fastgd.plot._network import NetworkDisplay
from fastgd.plot._path import CoefficientPathDisplay

__all__ = [
    "CoefficientPathDisplay",
    "ConvergenceDisplay",
    "DescentPathDisplay",
    "GradientFlowDisplay",
    "LearningRateDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
]
