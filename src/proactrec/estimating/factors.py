"""What kernels were measured to take of their roofline.

Each is one thread's time by ``max(operations / rate, bytes / bandwidth)`` of the same run:
`python benchmarks/estimate_factors.py docs/results/estimate-factors.md`, whose figures these are.
Below 1: tables stay in the cache, which is faster than memory. Far above: not products
nor memory but other work (sorting, exponentials), or Python between small steps.
"""

FACTORS = {
    "reading": 37.9,
    "uniformity": 1.52,
    "step": 1.83,
    "scores": 1.56,
    "training": 2.26,
    "encoding": 1.74,
    "clustering": 2.66,
    "step of touched rows": 7.59,
    "weighing by itmprec": 1.81,
    "narrowing by itmprec": 3.38,
    "weighing by ipg": 2.07,
    "narrowing by ipg": 3.24,
    "weighing by next-item": 1.36,
    "narrowing by next-item": 1.64,
    "hiding": 0.344,
    "moving": 3.28,
    "answering": 10.8,
    "learning": 7.2,
    "decomposing": 3,
    "counting": 88.8,
    "decomposing kept pairs": 7.25,
    "counting by item": 119,
    "weighing by foresight": 2.86,
    "narrowing by foresight": 3.11,
    "planning": 16.4,
}
