"""The paper's equations as plain loops in float64: the oracle of the tests of `reid`."""

from __future__ import annotations

import math

import numpy as np


def cosine_distance(a, b):
    return 1 - float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))


def part_distance(fp, qp, fg, qg):
    """Eq. 2 for one pair."""
    top = bottom = 0.0
    for k in range(len(qp)):
        top += qp[k] * qg[k] * cosine_distance(fp[k], fg[k])
        bottom += qp[k] * qg[k]
    return top / bottom


def global_pair(gp, qp, gg, qg):
    """Eqs. 9-11 for one pair."""
    total = sum(qp[i] * qg[i] for i in range(len(qp)))
    hp, hg = np.zeros(gp.shape[1]), np.zeros(gp.shape[1])
    for k in range(len(qp)):
        weight = qp[k] * qg[k] / total
        hp += weight * gp[k]
        hg += weight * gg[k]
    return hp, hg


def global_distance(gp, qp, gg, qg):
    return cosine_distance(*global_pair(gp, qp, gg, qg))


def cross_entropy(logits, label):
    shifted = logits - logits.max()
    return math.log(np.exp(shifted).sum()) - shifted[label]


def triplet(distance, labels, margin):
    """Eqs. 3 and 13 on an N x N table."""
    total, violating = 0.0, 0
    for a in range(len(labels)):
        positive = max(distance[a][p] for p in range(len(labels)) if labels[p] == labels[a])
        negative = min(distance[a][n] for n in range(len(labels)) if labels[n] != labels[a])
        loss = margin + positive - negative
        if loss > 0:
            total += loss
            violating += 1
    return total / max(violating, 1)


def coarse_feature(g_map, q):
    """Eqs. 4 and 5 for one image: (d, H, W), (K,) -> h (d,)."""
    rows = g_map.shape[1] // len(q)
    h = np.zeros(len(g_map))
    for k in range(len(q)):
        stripe = g_map[:, k * rows : (k + 1) * rows]
        h += q[k] / sum(q) * stripe.mean((1, 2))
    return h


def isa(g_map, q, reduce, expand):
    """Eqs. 4 to 8 for one image; `reduce`, `expand`: (matrix, bias). -> h^, M, G~."""
    h_hat = reduce[0] @ coarse_feature(g_map, q) + reduce[1]
    h_tilde = expand[0] @ np.maximum(h_hat, 0) + expand[1]
    _, height, width = g_map.shape
    m, out = np.zeros((height, width)), np.zeros_like(g_map)
    for y in range(height):
        for x in range(width):
            inner = float(np.dot(g_map[:, y, x], h_tilde))
            m[y, x] = 1 / (1 + math.exp(-inner))  # Eq. 7
            out[:, y, x] = m[y, x] * g_map[:, y, x] + g_map[:, y, x]  # Eq. 8
    return h_hat, m, out


def pair_identity(gp, gg, q, weight, labels):
    """Eq. 12 over all ordered pairs of a batch; `weight` is W^s, (d, C)."""
    total = 0.0
    for a in range(len(labels)):
        for b in range(len(labels)):
            ha, hb = global_pair(gp[a], q[a], gg[b], q[b])
            total += cross_entropy(ha @ weight, labels[a]) + cross_entropy(hb @ weight, labels[b])
    return total / len(labels) ** 2
