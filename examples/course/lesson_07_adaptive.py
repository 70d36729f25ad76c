r"""
7. AdaGrad, RMSprop and Adam
============================

Plain descent and momentum have one rate for all coefficients. The *adaptive*
optimizers divide each coefficient's gradient by its own usual size, so that each
has a rate of its own. This lesson has their formulas, and shows which valleys
they remove and which they do not.
"""

# %%
# Four formulas
# -------------
#
# All squares, roots and quotients are taken for each coefficient separately.
# *AdaGrad* (Duchi 2011) sums the squares of all gradients; its steps get shorter
# and shorter, those of rare features more slowly:
#
# .. math:: s \leftarrow s + g^2, \qquad
#    w \leftarrow w - \eta\, \frac{g}{\sqrt{s} + \varepsilon} .
#
# *RMSprop* (Tieleman and Hinton 2012) forgets old squares, usually with
# :math:`\rho = 0.9` or more, so that its steps do not vanish:
#
# .. math:: s \leftarrow \rho s + (1 - \rho) g^2, \qquad
#    w \leftarrow w - \eta\, \frac{g}{\sqrt{s} + \varepsilon} .
#
# *Adam* (Kingma and Ba 2015) is RMSprop with momentum. Both means start at 0 and
# are too small at first; the *bias correction* divides by the sum of the weights
# that they have had so far. With :math:`t = 1, 2, \ldots`, usually
# :math:`\beta_1 = 0.9` and :math:`\beta_2 = 0.999`:
#
# .. math::
#    m &\leftarrow \beta_1 m + (1 - \beta_1) g, &
#    \hat m &= m / (1 - \beta_1^t), \\
#    s &\leftarrow \beta_2 s + (1 - \beta_2) g^2, &
#    \hat s &= s / (1 - \beta_2^t), \\
#    w &\leftarrow w - \eta\, \hat m / (\sqrt{\hat s} + \varepsilon) .

import matplotlib.pyplot as plt
import numpy as np

from fastgd import SGDRegressor

START = np.array([4.0, 1.0])


def adam(matrix, eta, n_steps, beta1=0.9, beta2=0.999):
    """The points of Adam on w' matrix w / 2, by the formulas above."""
    w, m, s, points = START, np.zeros(2), np.zeros(2), [START]
    for t in range(1, n_steps + 1):
        g = matrix @ w
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        size = np.sqrt(s / (1 - beta2**t)) + 1e-8
        w = w - eta * m / (1 - beta1**t) / size
        points.append(w)
    return np.array(points)


def plain(matrix, eta, n_steps):
    """Plain descent."""
    points = [START]
    for _ in range(n_steps):
        points.append(points[-1] - eta * matrix @ points[-1])
    return np.array(points)


X = np.diag(np.sqrt([2.0, 60.0]))  # F is a mean over two rows, hence the 2
model = SGDRegressor(penalty=None, optimizer="adam", batch_size="full")
model.set_params(learning_rate="constant", eta0=0.1, fit_intercept=False)
model.set_params(max_iter=20, tol=None).fit(X, np.zeros(2), coef_init=START)
error = np.abs(model.coef_ - adam(X.T @ X / 2, 0.1, 20)[-1]).max()
print(f"fastgd after 20 steps, and these formulas: they differ by {error:.0e}")

# %%
# A valley along an axis, and a turned one
# ----------------------------------------
#
# Multiply one coefficient's gradients by 100: Adam divides by 100 again, and walks
# *the same path*. So a valley along an axis is as good as a round bowl to it. In
# a turned valley the steep direction is a mixture of both coefficients, no
# division for each of them can remove it, and the advantage is lost.

half = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
bowls = {
    "round": np.diag([1.0, 1.0]),
    "along an axis": np.diag([1.0, 100.0]),
    "turned": half.T @ np.diag([1.0, 100.0]) @ half,
}
rates = {"round": 0.5, "along an axis": 0.019, "turned": 0.019}  # below 2/L
paths = {
    name: (plain(A, rates[name], 60), adam(A, 0.3, 60))
    for name, A in bowls.items()
}
same = np.abs(paths["round"][1] - paths["along an axis"][1]).max()
print(f"Adam, round and along an axis: the paths differ by {same:.0e}")
for name, (slow, fast) in paths.items():
    ends = np.linalg.norm([slow[-1], fast[-1]], axis=1)
    print(f"{name:14s} plain ends {ends[0]:.2f} away, Adam {ends[1]:.2f}")

# %%
# Adam goes beyond the minimum before it comes back: that is its momentum. Its
# first steps have the length :math:`\eta` in each coefficient, whatever the
# gradient. So its rate is about *the largest distance that a coefficient moves in
# a step*; the usual 0.001 suits coefficients of about one.

# %%

# Plot: both optimizers in the three bowls
figure, panels = plt.subplots(
    1, 3, figsize=(11, 4), sharey=True, layout="constrained"
)
grid = np.array(np.meshgrid(np.linspace(-3, 5, 90), np.linspace(-3, 3, 70)))
for panel, (name, runs) in zip(panels, paths.items(), strict=True):
    F = np.einsum("iab,ij,jab->ab", grid, bowls[name], grid) / 2
    panel.contour(*grid, F, np.geomspace(0.2, 300, 9), colors="0.8")
    for points, label in zip(runs, ("plain", "Adam"), strict=True):
        panel.plot(*points.T, ".-", linewidth=1, label=label)
    panel.plot(0, 0, "*k", markersize=12)
    panel.set(title=name, xlabel="$w_1$", ylabel="$w_2$")
panels[0].legend()
plt.show()

# %%
# Exercise
# --------
#
# All gradients are 1. How long is Adam's first step without the bias correction,
# in units of :math:`\eta`? And with it?

# %%

# Solution
# m = 0.1 and s = 0.001, so without correction 0.1 / sqrt(0.001), three times too
# long. Corrected: (0.1 / 0.1) / sqrt(0.001 / 0.001) = 1.
print(f"without: {0.1 / np.sqrt(0.001):.2f}, with: {0.1 / 0.1:.2f}")

# %%
# What to remember
# ----------------
#
# * Adaptive optimizers divide each coefficient's gradient by its usual size. This
#   removes valleys along an axis, as scaled columns do, but no turned valley.
# * ``"adagrad"`` suits sparse columns, ``"adam"`` unknown scales. All
#   optimizers: :doc:`/catalogue`.
#
# Sources: Duchi, Hazan and Singer, *Adaptive Subgradient Methods*, 2011. Tieleman
# and Hinton, *Lecture 6.5: RMSprop*, 2012. Kingma and Ba, *Adam*, 2015,
# `arXiv:1412.6980 <https://arxiv.org/abs/1412.6980>`_.
