r"""
8. The learning rate
====================

The learning rate :math:`\eta` decides whether descent works. On a parabola of
curvature :math:`L`, :math:`F(w) = L w^2 / 2`, a step multiplies the distance from
the minimum by :math:`1 - \eta L`:

.. math:: w - \eta F'(w) = w - \eta L w = (1 - \eta L)\, w .

=====================  ==================================================
:math:`\eta < 1/L`     slowly down one side
:math:`\eta = 1/L`     at the bottom in one step
:math:`\eta < 2/L`     from side to side, and down
:math:`\eta > 2/L`     from side to side, and up: training explodes
=====================  ==================================================

With many parameters there are many curvatures. The largest sets the limit.
"""

# %%
# Try it
# ------
#
# A valley with the curvatures 1 and 10: up to the rate 0.1 the steps go down one
# side, up to 0.2 from side to side, and beyond 0.2 they leave it.

# %%

# Plot: a picture for each rate, and a slider that chooses one of them
import base64
import io
import warnings

import matplotlib.pyplot as plt
import numpy as np

GRID = np.array(np.meshgrid(np.linspace(-4, 4, 90), np.linspace(-2, 2, 50)))


def picture(eta):
    """Twenty steps in the valley, as a PNG in text."""
    points = [np.array([3.5, 1.2])]
    for _ in range(20):
        points.append(points[-1] * (1 - eta * np.array([1.0, 10.0])))
    figure, panel = plt.subplots(figsize=(6.5, 3.3), layout="constrained")
    F = (GRID[0] ** 2 + 10 * GRID[1] ** 2) / 2
    panel.contour(*GRID, F, np.geomspace(0.1, 25, 8), colors="0.8")
    panel.plot(*np.transpose(points), "o-", markersize=4)
    panel.set(xlim=(-4, 4), ylim=(-2, 2), title=f"learning rate {eta:.3f}")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


class Slider(list):
    """Pictures, of which the page, or a notebook, shows one."""

    def _repr_html_(self):
        hidden = ["" if k == 5 else "hidden" for k in range(len(self))]
        pairs = zip(self, hidden, strict=True)
        images = [f'<img alt="steps" src="{png}" {is_}>' for png, is_ in pairs]
        every = "parentNode.querySelectorAll('img')"
        show = f"{every}.forEach((image, k) => image.hidden = k != value)"
        move = 'type="range" value="5" aria-label="learning rate"'
        move = f'<input {move} max="{len(self) - 1}" oninput="{show}">'
        return f'<div class="fastgd-slider">{move}{"".join(images)}</div>'


Slider(map(picture, np.linspace(0.005, 0.215, 22)))

# %%
# The limit of real data
# ----------------------
#
# For the squared error the curvatures are the eigenvalues of
# :math:`X^\top X / n`, so the limit can be computed. (For other losses
# :math:`L` is multiplied by the largest curvature of the loss: 1/4 for log loss.)

from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastgd import SGDRegressor

X, y = load_diabetes(return_X_y=True)
X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
A = np.column_stack([X, np.ones(len(y))])
L = np.linalg.eigvalsh(A.T @ A / len(A))[-1]
print(f"largest curvature {L:.2f}: rates must stay below {2 / L:.3f}")


def objective_after(eta0, batch_size="full", n_epochs=30):
    """Of all rows, or infinity if the numbers have become too large."""
    model = SGDRegressor(penalty=None, learning_rate="constant", eta0=eta0)
    model.set_params(batch_size=batch_size, max_iter=n_epochs, tol=None)
    try:
        model.set_params(monitor=True, random_state=0).fit(X, y)
    except ValueError:
        return np.inf
    return model.history_["true_objective"][-1]


warnings.simplefilter("ignore")  # too large rates are tried on purpose
for share in (0.1, 1.0, 1.9, 2.1):
    print(f"{share:.1f} / L: {objective_after(share / L):10.3f} after 30 steps")

# %%
# Without theory: a range test
# ----------------------------
#
# Nobody computes eigenvalues of large data. Train for a few epochs with each rate
# of a grid, and compare (Smith 2017). Take about a third of the limit that you
# find. Small batches have a lower one, because single rows have larger
# curvatures, :math:`|x_i|^2 + 1`, than their mean.

# %%

# Plot: the objective after five epochs, for 20 rates
rates = np.geomspace(1e-4, 2, 20)
figure, panel = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for size, marker in ((1, "o"), (16, "s"), ("full", "^")):
    ends = [objective_after(eta0, size, 5) for eta0 in rates]
    panel.loglog(rates, ends, marker + "-", label=f"batch_size={size}")
panel.axvline(2 / L, color="black", linestyle=":", label="2 / L")
panel.set(xlabel="learning rate", ylabel="objective", ylim=(0.2, 30))
panel.legend()
plt.show()

# %%
# Exercise
# --------
#
# All columns are multiplied by 10. What happens to the limit?

# %%

# Solution
# L, a square of the columns, is 100 times as large: the limit is a hundredth.
print("L:", np.linalg.eigvalsh(100 * X.T @ X / len(X))[-1].round())

# %%
# What to remember
# ----------------
#
# * Rates above :math:`2/L` explode. Scale the columns: it lowers :math:`L`.
# * :class:`fastgd.plot.LearningRateDisplay` runs a range test in one call.
#
# Source: Smith, *Cyclical Learning Rates for Training Neural Networks*, 2017,
# `arXiv:1506.01186 <https://arxiv.org/abs/1506.01186>`_.
