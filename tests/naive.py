"""Everything that the kernels compute, once more in plain numpy: slow, and plainly right.

Written from the definitions and the papers, one loop for each sum in the text, and sharing
nothing with what it checks.
"""

# ruff: noqa: ARG001, ARG002, ARG005 - all functions of a kind share their argument names
import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np

# -- losses ----------------------------------------------------------------------------------


class Loss(NamedTuple):
    """A loss of one output, as functions of arrays; ``breakpoints`` are the raws where it bends."""

    value: Callable
    gradient: Callable
    curvature: Callable
    inverse_link: Callable
    breakpoints: Callable = lambda y: ()


def sigmoid(raw):
    return np.exp(-np.logaddexp(0.0, -raw))


def beyond(y, raw, epsilon):
    """How far, and in which direction, a prediction lies outside the tube around its target."""
    residual = raw - y
    return np.sign(residual) * np.maximum(np.abs(residual) - epsilon, 0.0)


def sign(raw):
    return np.where(raw > 0, 1.0, -1.0)


def squared_error():
    return Loss(
        value=lambda y, raw: (raw - y) ** 2 / 2,
        gradient=lambda y, raw: raw - y,
        curvature=lambda y, raw: np.ones_like(raw),
        inverse_link=lambda raw: raw,
    )


def absolute_error():
    return Loss(
        value=lambda y, raw: np.abs(raw - y),
        gradient=lambda y, raw: np.sign(raw - y),
        curvature=lambda y, raw: np.zeros_like(raw),
        inverse_link=lambda raw: raw,
        breakpoints=lambda y: (y,),
    )


def log_cosh(scale):
    """As the logarithm of a mean of two exponentials, and its derivatives as tanh and sech."""

    def value(y, raw):
        z = (raw - y) / scale
        return scale**2 * (np.logaddexp(z, -z) - math.log(2))

    return Loss(
        value=value,
        gradient=lambda y, raw: scale * np.tanh((raw - y) / scale),
        curvature=lambda y, raw: (
            4 * sigmoid(2 * (raw - y) / scale) * sigmoid(2 * (y - raw) / scale)
        ),
        inverse_link=lambda raw: raw,
    )


def huber(epsilon):
    def inside(y, raw):
        return np.abs(raw - y) <= epsilon

    def value(y, raw):
        return np.where(
            inside(y, raw), (raw - y) ** 2 / 2, epsilon * np.abs(raw - y) - epsilon**2 / 2
        )

    return Loss(
        value=value,
        gradient=lambda y, raw: np.where(inside(y, raw), raw - y, epsilon * np.sign(raw - y)),
        curvature=lambda y, raw: np.where(inside(y, raw), 1.0, 0.0),
        inverse_link=lambda raw: raw,
        breakpoints=lambda y: (y - epsilon, y + epsilon),
    )


def epsilon_insensitive(epsilon):
    return Loss(
        value=lambda y, raw: np.abs(beyond(y, raw, epsilon)),
        gradient=lambda y, raw: np.sign(beyond(y, raw, epsilon)),
        curvature=lambda y, raw: np.zeros_like(raw),
        inverse_link=lambda raw: raw,
        breakpoints=lambda y: (y - epsilon, y + epsilon),
    )


def squared_epsilon_insensitive(epsilon):
    return Loss(
        value=lambda y, raw: beyond(y, raw, epsilon) ** 2,
        gradient=lambda y, raw: 2 * beyond(y, raw, epsilon),
        curvature=lambda y, raw: np.where(beyond(y, raw, epsilon) != 0, 2.0, 0.0),
        inverse_link=lambda raw: raw,
        breakpoints=lambda y: (y - epsilon, y + epsilon),
    )


def quantile(q):
    return Loss(
        value=lambda y, raw: np.where(y >= raw, q * (y - raw), (1 - q) * (raw - y)),
        gradient=lambda y, raw: np.where(y > raw, -q, np.where(y < raw, 1 - q, 0.0)),
        curvature=lambda y, raw: np.zeros_like(raw),
        inverse_link=lambda raw: raw,
        breakpoints=lambda y: (y,),
    )


def growth(x, order=0, edge=60.0):
    """e^x or its derivative of an order; beyond the edge those of a parabola that goes on there."""
    beyond = np.maximum(x - edge, 0.0)
    parabola = (1 + beyond + beyond**2 / 2, 1 + beyond, 1.0)[order]
    return np.exp(np.minimum(x, edge)) * parabola


def poisson():
    return Loss(
        value=lambda y, raw: growth(raw) - y * raw,
        gradient=lambda y, raw: growth(raw, 1) - y,
        curvature=lambda y, raw: growth(raw, 2),
        inverse_link=growth,
    )


def gamma():
    return Loss(
        value=lambda y, raw: raw + y * growth(-raw),
        gradient=lambda y, raw: 1 - y * growth(-raw, 1),
        curvature=lambda y, raw: y * growth(-raw, 2),
        inverse_link=growth,
    )


def tweedie(power):
    if power in (1, 2):
        return poisson() if power == 1 else gamma()

    steepest = max(abs(1 - power), abs(2 - power))

    def term(factor, raw, order):
        """The derivatives of e^(factor raw) / factor, its edge where the steeper term has its."""
        grown = growth(factor * raw, order, 60 * abs(factor) / steepest)
        return factor ** (order - 1) * grown

    def derivative(y, raw, order):
        return term(2 - power, raw, order) - y * term(1 - power, raw, order)

    return Loss(
        value=lambda y, raw: derivative(y, raw, 0) + (y**2 / 2 if power == 0 else 0.0),
        gradient=lambda y, raw: derivative(y, raw, 1),
        curvature=lambda y, raw: derivative(y, raw, 2),
        inverse_link=growth,
    )


def log_loss():
    return Loss(
        value=lambda y, raw: np.logaddexp(0.0, raw) - y * raw,
        gradient=lambda y, raw: sigmoid(raw) - y,
        curvature=lambda y, raw: sigmoid(raw) * sigmoid(-raw),
        inverse_link=sigmoid,
    )


def hinge(margin):
    return Loss(
        value=lambda y, raw: np.maximum(margin - y * raw, 0.0),
        gradient=lambda y, raw: np.where(y * raw <= margin, -y, 0.0),
        curvature=lambda y, raw: np.zeros_like(raw),
        inverse_link=sign,
        breakpoints=lambda y: (margin * y,),
    )


def squared_hinge():
    return Loss(
        value=lambda y, raw: np.maximum(1 - y * raw, 0.0) ** 2,
        gradient=lambda y, raw: -2 * y * np.maximum(1 - y * raw, 0.0),
        curvature=lambda y, raw: np.where(y * raw < 1, 2.0, 0.0),
        inverse_link=sign,
        breakpoints=lambda y: (y,),
    )


def smooth_hinge(smoothing):
    def choose(y, raw, right, near, far):
        return np.where(y * raw >= 1, right, np.where(y * raw > 1 - smoothing, near, far))

    def value(y, raw):
        near, far = (1 - y * raw) ** 2 / (2 * smoothing), 1 - y * raw - smoothing / 2
        return choose(y, raw, 0.0, near, far)

    return Loss(
        value=value,
        gradient=lambda y, raw: choose(y, raw, 0.0, -y * (1 - y * raw) / smoothing, -y),
        curvature=lambda y, raw: choose(y, raw, 0.0, 1 / smoothing, 0.0),
        inverse_link=sign,
        breakpoints=lambda y: (y, y * (1 - smoothing)),
    )


def focal(gamma):
    """By the product rule: (1 - p)^gamma times -log p, each differentiated twice."""

    def parts(y, raw, order):
        """The derivative of each factor with respect to z, the raw prediction for the label."""
        z = np.where(y == 1, raw, -raw)
        p, n = sigmoid(z), sigmoid(-z)
        power = np.exp(-gamma * np.logaddexp(0.0, z))
        of_power = (power, -gamma * p * power, gamma * p * (gamma * p - n) * power)
        of_logarithm = (np.logaddexp(0.0, -z), -n, p * n)
        return [(of_power[k], of_logarithm[order - k]) for k in range(order + 1)]

    def derivative(y, raw, order):
        terms = zip((1, order, 1), parts(y, raw, order), strict=False)
        return sum(binomial * a * b for binomial, (a, b) in terms)

    return Loss(
        value=lambda y, raw: derivative(y, raw, 0),
        gradient=lambda y, raw: np.where(y == 1, 1, -1) * derivative(y, raw, 1),
        curvature=lambda y, raw: derivative(y, raw, 2),
        inverse_link=sigmoid,
    )


def modified_huber():
    def choose(y, raw, right, near, far):
        return np.where(y * raw >= 1, right, np.where(y * raw >= -1, near, far))

    return Loss(
        value=lambda y, raw: choose(y, raw, 0.0, (1 - y * raw) ** 2, -4 * y * raw),
        gradient=lambda y, raw: choose(y, raw, 0.0, -2 * y * (1 - y * raw), -4 * y),
        curvature=lambda y, raw: choose(y, raw, 0.0, 2.0, 0.0),
        inverse_link=lambda raw: np.clip((raw + 1) / 2, 0.0, 1.0),
        breakpoints=lambda y: (y, -y),
    )


class RowLoss(NamedTuple):
    """A loss of a row of raw predictions; y is a row of zeros with a one for the true class."""

    value: Callable
    gradient: Callable
    inverse_link: Callable


def softmax(label_smoothing=0.0):
    def log_of_sum(raw):
        return raw.max() + math.log(sum(math.exp(r) for r in raw - raw.max()))

    def probabilities(raw):
        return np.array([math.exp(r) for r in raw - log_of_sum(raw)])

    def smoothed(y):
        return (1 - label_smoothing) * y + label_smoothing / len(y)

    return RowLoss(
        value=lambda y, raw: log_of_sum(raw) - smoothed(y) @ raw,
        gradient=lambda y, raw: probabilities(raw) - smoothed(y),
        inverse_link=probabilities,
    )


# -- penalties: of coefficients (n_features, n_outputs), without the intercepts -------------------


def root(function, low, high):
    """The root of a falling function, by halving."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


class ElasticNet:
    """l1 |w| + l2 w^2 / 2, times the factor of a row."""

    def __init__(self, l1=0.0, l2=0.0, factors=None):
        self.l1, self.l2 = l1, l2
        self.factors = np.float64(1.0) if factors is None else np.reshape(factors, (-1, 1))

    def start(self, w):
        return w

    def value(self, w):
        return self.factors * (self.l1 * np.abs(w) + self.l2 * w**2 / 2)

    def proximal(self, w, change, step):
        """Shrink by the quadratic part (never past zero), move, then soft-threshold."""
        step = step * self.factors
        moved = np.maximum(1 - step * self.l2, 0.0) * w + change
        return np.sign(moved) * np.maximum(np.abs(moved) - step * self.l1, 0.0)

    def ftrl_minimum(self, z, curvature, l1, time):
        """The best of: zero, the minimum of the right side, that of the left side."""
        l1, l2 = l1 + time * self.factors * self.l1, time * self.factors * self.l2
        right = np.maximum(-(z + l1) / (curvature + l2), 0.0)
        left = np.minimum(-(z - l1) / (curvature + l2), 0.0)

        def objective(w):
            return z * w + (curvature + l2) * w**2 / 2 + l1 * np.abs(w)

        return np.where(objective(right) < objective(left), right, left)


class Bounded(ElasticNet):
    """An interval that coefficients may not leave."""

    def __init__(self, l1=0.0, l2=0.0, low=-np.inf, high=np.inf):
        super().__init__(l1, l2)
        self.low, self.high = low, high

    def start(self, w):
        return np.clip(w, self.low, self.high)

    def proximal(self, w, change, step):
        return np.clip(super().proximal(w, change, step), self.low, self.high)

    def ftrl_minimum(self, z, curvature, l1, time):
        return np.clip(super().ftrl_minimum(z, curvature, l1, time), self.low, self.high)


class MaxNorm(ElasticNet):
    """A ball that no output's coefficients may leave: the nearest point of it in a metric."""

    def __init__(self, limit, l1=0.0, l2=0.0):
        super().__init__(l1, l2)
        self.limit = limit

    def proximal(self, w, change, step):
        moved = super().proximal(w, change, step)
        step = np.broadcast_to(step, moved.shape)
        columns = [self.projected(u, h) for u, h in zip(moved.T, step.T, strict=True)]
        return np.transpose(columns)

    def projected(self, u, h):
        if np.sum(u**2) <= self.limit**2:
            return u
        mu = root(lambda mu: np.sum((u / (1 + mu * h)) ** 2) - self.limit**2, 0.0, 1e6 / np.min(h))
        return u / (1 + mu * h)


class GroupLasso(ElasticNet):
    """The norms of rows; a row's proximal point has a norm that solves one equation."""

    def __init__(self, group, l2=0.0):
        super().__init__(0.0, l2)
        self.group = group

    def value(self, w):
        """Each output's share of a row's norm."""
        norms = np.sqrt(np.sum(w**2, axis=1, keepdims=True))
        with np.errstate(invalid="ignore"):
            shares = np.where(norms > 0, w**2 / norms, 0.0)
        return super().value(w) + self.group * shares

    def proximal(self, w, change, step):
        moved = super().proximal(w, change, step)
        step = np.broadcast_to(step, moved.shape)
        return np.array([self.shrunk(u, h) for u, h in zip(moved, step, strict=True)])

    def shrunk(self, u, h):
        if np.sum((u / h) ** 2) <= self.group**2:
            return np.zeros_like(u)
        norm = root(lambda norm: np.sum((u / (norm + h * self.group)) ** 2) - 1, 0.0, 1e6)
        return u * norm / (norm + h * self.group)


# -- optimizers: step(g, rate) -> what to add, and the length of the penalty's step -----------


class Optimizer:
    """What most of them share: change, then penalty; intercepts have no penalty."""

    def decayed(self, w, rate):
        return w

    def advance(self, params, gradient, rate, penalty):
        """Return all parameters after the step."""
        change, length = self.step(gradient, rate)
        held = self.decayed(params[:-1], rate)
        coef = penalty.proximal(held, change[:-1], length[:-1])
        return np.vstack([coef, params[-1:] + change[-1:]])


class Sgd(Optimizer):
    """Robbins & Monro."""

    def step(self, g, rate):
        return -rate * g, np.full_like(g, rate)


class Momentum(Optimizer):
    """Polyak: a heavy ball, its velocity measured in gradients."""

    def __init__(self, momentum=0.9):
        self.momentum = momentum
        self.velocity = 0.0

    def step(self, g, rate):
        self.velocity = self.momentum * self.velocity + g
        return -rate * self.velocity, np.full_like(g, rate / (1 - self.momentum))


class Nesterov(Momentum):
    """Sutskever et al., in terms of the point at which the gradient is taken."""

    def step(self, g, rate):
        _, length = super().step(g, rate)
        return -rate * (g + self.momentum * self.velocity), length


class Adagrad(Optimizer):
    """Duchi et al."""

    def __init__(self, epsilon=1e-10):
        self.epsilon, self.total = epsilon, 0.0

    def step(self, g, rate):
        self.total = self.total + g**2
        length = rate / (np.sqrt(self.total) + self.epsilon)
        return -length * g, length


class Moments(Optimizer):
    """Moments that ``learn`` from a gradient, and a ``response`` to it that they determine.

    ``lazy``: where the gradient is zero moments stay, and nothing but the penalty moves.
    """

    moments = ("m", "v")

    def __init__(self, lazy=False, **numbers):
        self.lazy, self.t = lazy, 0
        for name, number in {**self.numbers, **numbers}.items():
            setattr(self, name, number)
        for name in self.moments:
            setattr(self, name, 0.0)

    def step(self, g, rate):
        self.t += 1
        before = [getattr(self, name) for name in self.moments]
        self.learn(g)
        moves = (g != 0) | (not self.lazy)
        for name, old in zip(self.moments, before, strict=True):
            setattr(self, name, np.where(moves, getattr(self, name), old))
        change, length = self.response(g, rate)
        return np.where(moves, change, 0.0), length


class Adam(Moments):
    """Kingma & Ba, Algorithm 1."""

    numbers: ClassVar = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}

    def learn(self, g):
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g**2

    def length(self, v, rate):
        return rate / (np.sqrt(v / (1 - self.beta_2**self.t)) + self.epsilon)

    def response(self, g, rate):
        length = self.length(self.v, rate)
        return -length * self.m / (1 - self.beta_1**self.t), length


class AMSGrad(Adam):
    """Reddi et al., bias corrected."""

    moments = ("m", "v", "largest")

    def learn(self, g):
        super().learn(g)
        self.largest = np.maximum(self.largest, self.v)

    def response(self, g, rate):
        length = self.length(self.largest, rate)
        return -length * self.m / (1 - self.beta_1**self.t), length


class AdamW(Adam):
    """Loshchilov & Hutter."""

    numbers: ClassVar = {**Adam.numbers, "weight_decay": 0.01}

    def decayed(self, w, rate):
        return w - rate * self.weight_decay * w


class NAdam(Adam):
    """Dozat; the length is the reply to gradients that were all one."""

    numbers: ClassVar = {**Adam.numbers, "momentum_decay": 0.004}

    def mu(self, t):
        return self.beta_1 * (1 - 0.96 ** (t * self.momentum_decay) / 2)

    def response(self, g, rate):
        t = self.t
        now, after = (math.prod(self.mu(s) for s in range(1, end + 1)) for end in (t, t + 1))
        of_m, of_g = self.mu(t + 1) / (1 - after), (1 - self.mu(t)) / (1 - now)
        length = self.length(self.v, rate)
        own = of_m * (1 - self.beta_1**t) + of_g
        return -length * (of_m * self.m + of_g * g), length * own


class Adamax(Moments):
    """Kingma & Ba, Algorithm 2, with PyTorch's epsilon."""

    moments = ("m", "u")
    numbers: ClassVar = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}

    def learn(self, g):
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.u = np.maximum(self.beta_2 * self.u, np.abs(g) + self.epsilon)

    def response(self, g, rate):
        length = rate / np.maximum(self.u, self.epsilon)
        return -length * self.m / (1 - self.beta_1**self.t), length


class Lion(Moments):
    """Chen et al., Algorithm 2."""

    moments = ("m", "ahead")
    numbers: ClassVar = {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.0}

    def decayed(self, w, rate):
        return w - rate * self.weight_decay * w

    def learn(self, g):
        self.ahead = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.m = self.beta_2 * self.m + (1 - self.beta_2) * g

    def response(self, g, rate):
        return -rate * np.sign(self.ahead), np.full_like(g, rate)


class RMSprop(Moments):
    """Tieleman & Hinton; centered after Graves; momentum as PyTorch has it."""

    moments = ("square", "mean", "velocity")
    numbers: ClassVar = {"rho": 0.99, "epsilon": 1e-8, "momentum": 0.0, "centered": False}

    def root(self):
        variance = self.square - self.mean**2 if self.centered else self.square
        return np.sqrt(np.maximum(variance, 0.0)) + self.epsilon

    def learn(self, g):
        self.square = self.rho * self.square + (1 - self.rho) * g**2
        self.mean = self.rho * self.mean + (1 - self.rho) * g
        self.velocity = self.momentum * self.velocity + g / self.root()

    def response(self, g, rate):
        return -rate * self.velocity, rate / self.root() / (1 - self.momentum)


class Adadelta(Moments):
    """Zeiler, Algorithm 1."""

    moments = ("square", "step_square", "ratio")
    numbers: ClassVar = {"rho": 0.9, "epsilon": 1e-6}

    def root(self):
        return np.sqrt(self.step_square + self.epsilon) / np.sqrt(self.square + self.epsilon)

    def learn(self, g):
        self.square = self.rho * self.square + (1 - self.rho) * g**2
        self.ratio = self.root()
        self.step_square = self.rho * self.step_square + (1 - self.rho) * (self.ratio * g) ** 2

    def response(self, g, rate):
        ratio = np.where(g != 0, self.ratio, self.root()) if self.lazy else self.ratio
        return -rate * ratio * g, rate * ratio


class Ftrl(Optimizer):
    """McMahan et al., Algorithm 1, multiplied by the rate; the penalty counts once a step."""

    def __init__(self, beta=1.0, l1=0.0, l2=0.0):
        self.beta, self.l1, self.l2 = beta, l1, l2
        self.n, self.z, self.time = 0.0, None, 0.0

    def step(self, g, rate):
        """What a step is without any penalty."""
        self.n = self.n + g**2
        length = rate / (self.beta + np.sqrt(self.n))
        return -length * g, length

    def advance(self, params, gradient, rate, penalty):
        if self.z is None:
            self.z = -self.beta * params[:-1]
        before = np.sqrt(self.n)
        change, _ = self.step(gradient, rate)
        after = np.sqrt(self.n)
        self.z = self.z + rate * gradient[:-1] - (after - before)[:-1] * params[:-1]
        self.time += rate
        curvature = (self.beta + after)[:-1] + rate * self.l2
        coef = penalty.ftrl_minimum(self.z, curvature, rate * self.l1, self.time)
        return np.vstack([coef, params[-1:] + change[-1:]])


class ScheduleFreeSGD(Optimizer):
    """Defazio et al., equations 2-4: z steps, x is its mean, and gradients are taken between."""

    def __init__(self, momentum=0.9, weight_decay=0.0):
        self.momentum, self.weight_decay = momentum, weight_decay
        self.z, self.x, self.total = None, None, 0.0

    def length(self, g, rate):
        return np.full_like(g, rate)

    def advance(self, params, gradient, rate, penalty):
        """``params`` are y, and so is what is returned."""
        if self.z is None:
            self.z, self.x = params.copy(), params.copy()
        length = self.length(gradient, rate)
        step = -length * gradient
        pulled = self.z[:-1] - rate * self.weight_decay * params[:-1]
        coef = penalty.proximal(pulled, step[:-1], length[:-1])
        self.z = np.vstack([coef, self.z[-1:] + step[-1:]])
        self.total += rate**2
        share = rate**2 / self.total
        self.x = (1 - share) * self.x + share * self.z
        return (1 - self.momentum) * self.z + self.momentum * self.x


class ScheduleFreeAdamW(ScheduleFreeSGD):
    """Defazio et al., Algorithm 1."""

    def __init__(self, weight_decay=0.0, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        super().__init__(beta_1, weight_decay)
        self.beta_2, self.epsilon, self.v, self.t = beta_2, epsilon, 0.0, 0

    def length(self, g, rate):
        self.t += 1
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g**2
        return rate / (np.sqrt(self.v / (1 - self.beta_2**self.t)) + self.epsilon)


class Prodigy(Optimizer):
    """Mishchenko & Defazio, Algorithm 4, with the d of the authors' package."""

    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0, d0=1e-6):
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.weight_decay, self.d0, self.d = weight_decay, d0, d0
        self.start, self.r, self.s, self.m, self.v = None, 0.0, 0.0, 0.0, 0.0

    def advance(self, params, gradient, rate, penalty):
        if self.start is None:
            self.start = params.copy()
        d, fade = self.d, math.sqrt(self.beta_2)
        weight = d / self.d0 * rate * d
        self.r = fade * self.r + weight * np.sum(gradient * (self.start - params))
        self.s = fade * self.s + weight * gradient
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * d * gradient
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * (d * gradient) ** 2
        self.d = max(d, self.r / np.sum(np.abs(self.s)))
        root = np.sqrt(self.v) + self.d * self.epsilon
        change, length = -rate * d * self.m / root, rate * d * d / root
        held = (1 - rate * d * self.weight_decay) * params[:-1]
        coef = penalty.proximal(held, change[:-1], length[:-1])
        return np.vstack([coef, params[-1:] + change[-1:]])


class Muon(Optimizer):
    """Jordan et al., of one matrix and a row of intercepts, which go by AdamW."""

    def __init__(self, momentum=0.95, steps=5, weight_decay=0.0, match_adam=True):
        self.momentum, self.steps, self.weight_decay = momentum, steps, weight_decay
        self.match_adam, self.mean = match_adam, 0.0
        self.companion = Adam(beta_2=0.95, epsilon=1e-10)

    def direction(self, g):
        self.mean = self.momentum * self.mean + (1 - self.momentum) * g
        x = (1 - self.momentum) * g + self.momentum * self.mean
        x = x / (np.sqrt(np.sum(x**2)) + 1e-7)
        for _ in range(self.steps):
            left = x @ x.T
            x = 3.4445 * x + (-4.7750 * left + 2.0315 * left @ left) @ x
        return x

    def advance(self, params, gradient, rate, penalty):
        rows, columns = params[:-1].shape
        scale = 0.2 * math.sqrt(max(rows, columns))
        if not self.match_adam:
            scale = math.sqrt(max(1, columns / rows))
        step = -rate * scale * self.direction(gradient[:-1])
        held = (1 - rate * self.weight_decay) * params[:-1]
        change, _ = self.companion.step(gradient[-1:], rate)
        coef = penalty.proximal(held, step, np.full_like(step, rate))
        return np.vstack([coef, params[-1:] + change])


class PassiveAggressive(Sgd):
    """Crammer et al.: ``slope`` is that of a row, in place of its loss's."""

    def __init__(self, squared_slack=False):
        self.squared_slack = squared_slack

    def slope(self, x, rate, value, gradient):
        square = x @ x
        if self.squared_slack:
            tau = value / (square + 1 / (2 * rate))
        else:
            tau = np.minimum(rate, value / square) if square > 0 else 0 * value
        return np.sign(gradient) * tau / rate


class RateFree:
    """Steps that need no rate: Ross, Mineiro & Langford's, with what ``kernels.rate_free`` changes.

    Values of a column that are zero count only where it is ``centred``. ``unit``: "loss", "row" (of
    a softmax, whose outputs share one) or "targets". ``penalty`` acts on all coefficients in each
    step.
    """

    def __init__(
        self,
        loss,
        unit,
        centred,
        shape,
        rate=0.9,
        window=600.0,
        penalty=None,
        intercept_rate=1.0,
    ):
        self.loss, self.unit, self.centred, self.penalty = loss, unit, centred, penalty
        self.rate, self.window, self.intercept_rate = rate, window, intercept_rate
        (d, self.k), self.t, self.rows = (shape[0] - 1, shape[1]), 0, 0
        self.coef, self.intercept = np.zeros((d, self.k)), np.zeros(self.k)
        self.mean_coef, self.mean_intercept = np.zeros((d, self.k)), np.zeros(self.k)
        self.squares, self.intercept_squares = np.zeros((d, self.k)), np.zeros(self.k)
        self.values = [[] for _ in range(d)]  # of each column, as far as they count
        self.deviations, self.largest = np.zeros(d), np.zeros(d)
        self.means, self.sizes, self.targets = np.zeros(d), [], []
        self.losses, self.slopes, self.weights = [], [], []

    def spread(self):
        """s^2 of each column."""
        roots = [
            math.sqrt(self.deviations[j] / len(v)) if v else 0.0 for j, v in enumerate(self.values)
        ]
        return np.array(roots) * self.largest

    def look(self, x, y):
        self.rows += 1
        for j, value in enumerate(x):
            if value == 0 and not self.centred:
                continue
            self.values[j].append(value)
            before = value - self.means[j]
            if self.centred:
                self.means[j] = np.mean(self.values[j])
                self.deviations[j] += before * (value - self.means[j]) if self.rows > 1 else 0.0
                value = value - self.means[j]
            else:
                self.deviations[j] += value**2
            if abs(value) > self.largest[j]:
                if self.largest[j] > 0:
                    self.shrink(j, math.sqrt(self.largest[j] / abs(value)))
                self.largest[j] = abs(value)
        spread, shown = self.spread(), x - self.means
        counts = (x != 0) | self.centred
        self.sizes.append(
            1 + sum(shown[counts & (spread > 0)] ** 2 / spread[counts & (spread > 0)])
        )
        if self.unit == "targets":
            self.targets.append(y)
            if self.rows == 1:
                self.intercept[:] = y
                self.mean_intercept[:] = y

    def shrink(self, j, factor):
        self.intercept += (1 - factor) * self.means[j] * self.coef[j]
        self.coef[j] *= factor
        # what predicts is w - lag, and the lag shrinks as w does
        self.mean_intercept += (1 - factor) * self.means[j] * self.mean_coef[j]
        self.mean_coef[j] *= factor

    def units(self, value, slopes):
        """The unit of each output, and the loss that its step is measured by."""
        if self.unit == "targets":
            return np.std(self.targets, axis=0) * np.ones(self.k), value
        self.losses.append(value), self.slopes.append(slopes)
        mean_loss = np.average(self.losses, axis=0, weights=self.weights)
        mean_slope = np.average(self.slopes, axis=0, weights=self.weights)
        return mean_loss / mean_slope * np.ones(self.k), value

    def step(self, X, Y):
        """Y has a column for each output: a target, or whether it is that class."""
        for x, y in zip(X, Y, strict=True):
            self.look(x, y)
        self.t, m = self.t + 1, len(X)
        self.weights.append(m)
        raw = X @ self.coef + self.intercept
        if self.unit == "row":
            e = np.exp(raw - raw.max(1, keepdims=True))
            delta = e / e.sum(1, keepdims=True) - Y
            value = np.array([-np.log((e / e.sum(1, keepdims=True))[Y == 1]).mean()])
            slope = np.array([np.abs(delta).sum() / 2 / m])
        else:
            delta, value = self.loss.gradient(Y, raw), self.loss.value(Y, raw).mean(0)
            slope = np.abs(delta).mean(0)
        unit, value = self.units(value, slope)
        g, g_intercept = (X - self.means).T @ delta / m, delta.mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.squares += np.where(unit > 0, (g / unit) ** 2, 0)
            self.intercept_squares += np.where(unit > 0, (g_intercept / unit) ** 2, 0)
            rate = self.rate / math.sqrt(np.mean(self.sizes))
            root = np.sqrt(self.spread())[:, None] * np.sqrt(self.squares)
            lengths = np.where(root > 0, rate / root, 0)
            of_intercept = np.where(
                self.intercept_squares > 0, rate / np.sqrt(self.intercept_squares), 0
            )
            of_intercept = self.intercept_rate * of_intercept
            fall = (lengths * g**2).sum(0) + of_intercept * g_intercept**2
            q = (fall.sum() if self.unit == "row" else fall) / (2 * value)
            pace = np.where(q > 1e-9, -np.expm1(-q) / q, 1) * (unit > 0)
        before = self.means @ self.coef
        taken = np.minimum(lengths, 1 / self.penalty.l2) if self.penalty.l2 > 0 else lengths
        self.coef = self.penalty.proximal(self.coef, -taken * pace * g, taken)
        self.intercept = self.intercept - of_intercept * pace * g_intercept
        self.intercept += before - self.means @ self.coef
        share = 1 / min(max(self.t / 16, 1) + 1, max(self.window, 1.0))
        self.mean_coef = self.mean_coef + share * (self.coef - self.mean_coef)
        self.mean_intercept = self.mean_intercept + share * (self.intercept - self.mean_intercept)


# -- transforms: transform(gradient, t) -> what the optimizer is handed -----------------------


class Clip:
    """By value, then by norm; ``shared``: one norm for all columns. Counts what it clipped."""

    def __init__(self, norm=np.inf, value=np.inf, shared=True):
        self.norm, self.value, self.shared = norm, value, shared
        self.clipped = []

    def __call__(self, gradient, _):
        if not self.shared:
            return np.hstack([self.clip(column[:, None]) for column in gradient.T])
        return self.clip(gradient)

    def clip(self, gradient):
        limited = np.clip(gradient, -self.value, self.value)
        length = math.sqrt(sum(g**2 for g in limited.ravel()))
        self.clipped.append(length > self.norm or np.abs(gradient).max() > self.value)
        return limited * self.norm / length if length > self.norm else limited


class Quantizer:
    """What ``compress(vector, noise)`` makes of the flat gradient, or of its sum with a memory."""

    def __init__(self, compress, seed, feeds_back):
        self.compress, self.seed, self.feeds_back = compress, seed, feeds_back
        self.memory = 0.0

    def __call__(self, gradient, t):
        corrected = gradient + self.memory
        noise = [noise_of(self.seed, t, c) for c in range(gradient.size)]
        sent = np.array(self.compress(list(corrected.ravel()), noise)).reshape(gradient.shape)
        self.memory = corrected - sent if self.feeds_back else 0.0
        return sent


def mixed(z):
    """The output function of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def noise_of(seed, step, coordinate):
    """A number in [0, 1): the upper half of three rounds of the generator."""
    gamma = 0x9E3779B97F4A7C15
    stream = mixed(((seed ^ 0xD1342543DE82EF95) + gamma) % 2**64)
    key = mixed((stream + step * gamma) % 2**64)
    return (mixed((key + coordinate * gamma) % 2**64) >> 32) / 2**32


def round_by_chance(x, u):
    """One of the two whole numbers around x, the upper one with the chance x - floor(x)."""
    return math.floor(x) + (u >= 1 - (x - math.floor(x)))


def qsgd(bits, bucket):
    def compress(vector, noise):
        sent = []
        for begin in range(0, len(vector), bucket):
            part, s = vector[begin : begin + bucket], 2 ** (bits - 1) - 1
            scale = max(abs(g) for g in part)
            for g, u in zip(part, noise[begin : begin + bucket], strict=True):
                if scale == 0:
                    sent.append(0.0)
                elif bits == 1:
                    sent.append(scale * (2 * round_by_chance((g / scale + 1) / 2, u) - 1))
                else:
                    sent.append(scale * round_by_chance(s * g / scale, u) / s)
        return sent

    return compress


def terngrad():
    def compress(vector, noise):
        scale = max(abs(g) for g in vector)
        chances = [abs(g) / scale if scale > 0 else 0.0 for g in vector]
        # a negative entry is kept where noise is small, a positive one where it is large
        return [
            (scale if u >= 1 - p else 0.0) if g > 0 else (-scale if u < p else 0.0)
            for g, p, u in zip(vector, chances, noise, strict=True)
        ]

    return compress


def sign_scale():
    def compress(vector, noise):
        scale = sum(abs(g) for g in vector) / len(vector)
        return [-scale if g < 0 else scale for g in vector]

    return compress


def top_k(fraction):
    def compress(vector, noise):
        k = max(1, math.floor(fraction * len(vector) + 0.5))
        largest = sorted(range(len(vector)), key=lambda c: (-abs(vector[c]), c))[:k]
        return [vector[c] if c in largest else 0.0 for c in range(len(vector))]

    return compress


# -- schedules: the rate of step t, counted from one ------------------------------------------


def constant(t, eta0):
    return eta0


def invscaling(t, eta0, power_t):
    return eta0 / t**power_t


def optimal(t, alpha, loss):
    """Bottou's, its start as in scikit-learn: a first step of about a typical weight's size."""
    typical = alpha**-0.25
    first = typical / max(1.0, float(loss.gradient(1.0, -typical)))
    return 1 / (alpha * (1 / (first * alpha) + t - 1))


def step(t, eta0, gamma, every):
    return eta0 * gamma ** ((t - 1) // every)


def multistep(t, eta0, gamma, milestones):
    rate = eta0
    for milestone in milestones:
        if t - 1 >= milestone:
            rate *= gamma
    return rate


def exponential(t, eta0, gamma):
    return eta0 * gamma ** (t - 1)


def polynomial(t, eta0, power, end, length):
    return end + (eta0 - end) * (1 - min((t - 1) / length, 1)) ** power


def cosine(t, eta0, eta_min, length):
    return eta_min + (eta0 - eta_min) * (1 + math.cos(math.pi * min((t - 1) / length, 1))) / 2


def cosine_restarts(t, eta0, eta_min, period, multiplier):
    since = t - 1 if multiplier > 1 else (t - 1) % period
    while since >= period:
        since, period = since - period, period * multiplier
    return cosine(since + 1, eta0, eta_min, period)


def one_cycle(t, eta0, share_up, start_divisor, end_divisor, length):
    """With the steps counted from 0, as in PyTorch; where that has no rise, the peak is first."""
    first = eta0 / start_divisor
    step, top, last = t - 1, max(share_up * length - 1, 0), length - 1
    if step < top:
        return cosine(step + 1, first, eta0, top)
    if step >= last:
        return eta0 if step == top else first / end_divisor
    return cosine(step - top + 1, eta0, first / end_divisor, last - top)


def inverse_sqrt(t, eta0, warm_up):
    return eta0 * math.sqrt(warm_up) * min(t**-0.5, t * warm_up**-1.5)


def warm_up(t, after, length, start):
    """``after`` is the other schedule's rate of its step t."""
    return after(t - length) if t > length else after(1) * (start + (1 - start) * t / length)


class Adaptive:
    """scikit-learn's rule for one column, as its loop over epochs has it."""

    def __init__(self, eta0, tol, n_iter_no_change):
        self.eta, self.tol, self.patience = eta0, tol, n_iter_no_change
        self.best, self.count, self.ended = math.inf, 0, False

    def after_epoch(self, value):
        if self.ended:
            return
        self.count = self.count + 1 if self.tol is not None and value > self.best - self.tol else 0
        self.best = min(self.best, value)
        if self.count >= self.patience:
            if self.eta > 1e-6:
                self.eta, self.count = self.eta / 5, 0
            else:
                self.ended = True


class Plateau:
    """PyTorch's rule for one column; it ends where PyTorch would leave a rate as it is."""

    def __init__(self, eta0, factor, patience, threshold, eta_min):
        self.eta, self.factor, self.patience = eta0, factor, patience
        self.threshold, self.eta_min = threshold, eta_min
        self.best, self.count, self.ended = None, 0, False

    def after_epoch(self, value):
        if self.best is None or value < self.best - self.threshold * abs(self.best):
            self.best, self.count = value, 0
        else:
            self.count += 1
        if self.count > self.patience:
            self.count = 0
            reduced = max(self.eta * self.factor, self.eta_min)
            if self.eta - reduced > 1e-8 and not self.ended:
                self.eta = reduced
            else:
                self.ended = True


# -- training --------------------------------------------------------------------------------


class Trained(NamedTuple):
    """The parameters (intercept last), their average, and each epoch's objective."""

    params: np.ndarray
    average: np.ndarray
    objectives: np.ndarray


def train(
    X,
    targets,
    loss,
    optimizer,
    rates,
    orders,
    *,
    batch_size,
    penalty=None,
    weight=None,
    unit=1.0,
    column_weight=None,
    fit_intercept=True,
    start=None,
    average_from=0,
    transform=None,
    intercept_rate=1.0,
):
    """Take every step of every epoch, row by row.

    targets : (n_samples, n_outputs); for the softmax a row of zeros and a one
    rates : of the steps, the first one first
    orders : for each epoch, the rows that it visits
    weight : (n_samples,); unit : what their sum over a batch of m rows is measured by, over m
    column_weight : (n_samples, n_outputs), further weights of single outputs; not for a softmax
    average_from : steps before the first whose iterate is averaged
    transform : from the gradient of the trained parameters and the step's number, 1-based
    intercept_rate : factor of the intercepts' steps
    """
    penalty = ElasticNet() if penalty is None else penalty
    weight = np.ones(X.shape[0]) if weight is None else weight
    column_weight = np.ones(X.shape[0]) if column_weight is None else column_weight
    params = np.zeros((X.shape[1] + 1, targets.shape[1])) if start is None else start.copy()
    params[:-1] = penalty.start(params[:-1])
    iterates, objectives, t = [], [], 0
    for order in orders:
        total = 0.0
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            gradient, cost = np.zeros_like(params), penalty.value(params[:-1]).sum()
            for i in batch:
                extended = np.append(X[i], 1.0)
                raw, weights = extended @ params, weight[i] * column_weight[i] / unit
                value, slope = loss.value(targets[i], raw), loss.gradient(targets[i], raw)
                if hasattr(optimizer, "slope"):
                    slope = optimizer.slope(X[i], rates[t], value, slope)
                gradient += np.outer(extended, weights * slope) / len(batch)
                total += np.sum(weights * value) + cost
            if transform is not None:
                trained = slice(None) if fit_intercept else slice(-1)
                gradient[trained] = transform(gradient[trained], t + 1)
            after = optimizer.advance(params, gradient, rates[t], penalty)
            params[:-1] = after[:-1]
            if fit_intercept:
                params[-1] += intercept_rate * (after[-1] - params[-1])
            t += 1
            if t > average_from:
                iterates.append(params.copy())
        objectives.append(total / len(order))
    average = np.mean(iterates, axis=0) if iterates else params
    return Trained(params, average, np.array(objectives))
