"""Sketches by DataSketches' own package, for `tests/it/states/sketches.rs`: cases as JSON in, what it makes of them as JSON out."""

import json
import sys

import datasketches as ds

VALUES = {"integers": lambda n: n - 7, "texts": lambda n: f"größe {n}", "doubles": lambda n: n / 4.0 - 1}


def numbers(sketch):
    return [sketch.get_estimate() if hasattr(sketch, "get_estimate") else sketch.estimate, sketch.get_lower_bound(2), sketch.get_upper_bound(2)]


def hll(case, values):
    ours = ds.hll_sketch.deserialize(bytes.fromhex(case["ours"]))
    theirs = {}
    union = ds.hll_union(case["lg_k"])
    union.update(ours)
    for form in [ds.tgt_hll_type.HLL_4, ds.tgt_hll_type.HLL_6, ds.tgt_hll_type.HLL_8]:
        sketch = ds.hll_sketch(case["lg_k"], form)
        for value in values:
            sketch.update(value)
        union.update(sketch)
        theirs[f"{form.name} compact"] = {"bytes": sketch.serialize_compact().hex(), "read": numbers(sketch)}
        theirs[f"{form.name} updatable"] = {"bytes": sketch.serialize_updatable().hex(), "read": numbers(sketch)}
    return {"read": numbers(ours), "united": numbers(union.get_result(ds.tgt_hll_type.HLL_8)), "theirs": theirs}


def theta(case, values):
    ours = ds.compact_theta_sketch.deserialize(bytes.fromhex(case["ours"]))
    half = ds.compact_theta_sketch.deserialize(bytes.fromhex(case["half"]))
    sketch = ds.update_theta_sketch(case["lg_k"])
    for value in values:
        sketch.update(value)
    union = ds.theta_union(case["lg_k"])
    union.update(ours)
    union.update(sketch)
    sketch.trim()
    theirs = {}
    for ordered in [True, False]:
        compact = sketch.compact(ordered)
        theirs["ordered" if ordered else "unordered"] = {"bytes": compact.serialize().hex(), "read": numbers(compact)}
    both = ds.theta_intersection()
    both.update(ours)
    both.update(half)
    return {
        "read": numbers(ours),
        "united": numbers(union.get_result()),
        "theirs": theirs,
        "and": both.get_result().get_estimate(),
        "and_not": ds.theta_a_not_b().compute(ours, half).get_estimate(),
    }


answers = []
for case in json.load(sys.stdin):
    values = [VALUES[case["kind"]](n) for n in range(case["count"])]
    answers.append({"hll": hll, "theta": theta}[case["sketch"]](case, values))
json.dump(answers, sys.stdout)
