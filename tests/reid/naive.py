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
