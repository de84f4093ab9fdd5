"""The tables of `search.py`, made from what it measured."""

import numpy as np
from report import Table

TITLES = {
    "gaussian": "Gaussian",
    "sentences": "sentences",
    "fashion_mnist": "Fashion-MNIST",
    "words": "words",
    "clustered": "clustered",
}
IN_SHORT = ("gaussian", "fashion_mnist")
PRODUCT, FLAT = "sgemm alone", "faiss flat"
NAMED = [("code bits", ""), ("method", "")]


def tables(results):
    """Make all tables that the results allow."""
    alone = {result["data"]: result for result in results if len(result["threads"]) == 1}
    made = [Table(f"search_{data}", *table(result)) for data, result in alone.items()]
    made += [
        Table(f"search_threads_{result['data']}", *table_of_threads(result))
        for result in results
        if len(result["threads"]) > 1
    ]
    if all(data in alone for data in IN_SHORT):
        made.append(Table("search", *short_table([alone[data] for data in IN_SHORT])))
    return made


def table(result):
    """Lay out a contest with one number of threads."""
    rows = []
    for c in by_bits(result):
        product, flat = (reference(result, c, name) for name in (PRODUCT, FLAT))
        rows.append((
            f"{c['bits']:g}", c["name"], true_bits(result, c), c["recall"], rate(c),
            speedup(c, product), speedup(c, flat), milliseconds(c), speedup_single(c, flat),
            c["fit_s"][clock(result)], c["codec_bytes"] / 1000,
        ))  # fmt: skip
    columns = [
        ("bits", ".2f"), ("recall@10", ".3f"), ("queries/s", ",.0f"), ("× sgemm", ".2f"),
        ("× flat", ".2f"), ("one, ms", ".3f"), ("× flat", ".2f"), ("build, s", ".1f"),
        ("codec, kB", ",.1f"),
    ]  # fmt: skip
    return NAMED + columns, rows, note([result])


def short_table(results):
    """Lay out the main figures of several contests side by side."""
    by_method = [{(c["bits"], c["name"]): c for c in by_bits(r)} for r in results]
    rows = []
    for bits, name in by_method[0]:
        cells = []
        for result, methods in zip(results, by_method, strict=True):
            c = methods.get((bits, name))
            cells += [None] * 4 if c is None else [
                true_bits(result, c), c["recall"], speedup(c, reference(result, c, FLAT)),
                milliseconds(c),
            ]  # fmt: skip
        rows.append((f"{bits:g}", name, *cells))
    columns = []
    for result in results:
        columns += [(f"{TITLES[result['data']]}: bits", ".2f"), ("recall@10", ".3f")]
        columns += [("× flat", ".2f"), ("one, ms", ".3f")]
    return NAMED + columns, rows, note(results)


def table_of_threads(result):
    """Lay out a contest with several numbers of threads: speeds, and how they grow."""
    by_method = {}
    for c in by_bits(result):
        by_method.setdefault((c["bits"], c["name"]), {})[c["threads"]] = c
    first, *others = result["threads"]
    rows = []
    for (bits, name), found in by_method.items():
        one = found.get(first)
        cells = [rate(one, at_best=True)]
        for n_threads in others:
            many = found.get(n_threads)
            cells += [rate(many, at_best=True), speedup(many, one, at_best=True)]
        last = found.get(others[-1])
        flat = reference(result, last, FLAT) if last else None
        rows.append((f"{bits:g}", name, *cells, speedup(last, flat, at_best=True)))
    columns = [(f"queries/s, {first} thread", ",.0f")]
    for n in others:
        columns += [(f"{n} threads", ",.0f"), ("times", ".2f")]
    return [*NAMED, *columns, ("× flat", ".2f")], rows, note([result])


def by_bits(result):
    """List contestants with few bits first, and those of the same bits in the order of entry."""
    return sorted(result["contestants"], key=lambda c: c["bits"])


def note(results):
    """Say what took part, what did not and why, and how much the machine was disturbed."""
    libraries = {}
    left_out = {}
    for result in results:
        libraries |= result["versions"]
        left_out |= result["left_out"]
    named = {
        name: version for name, version in libraries.items() if name not in ("blas", "skquant")
    }
    sentences = ["Peers: " + ", ".join(f"{n} {v}" for n, v in named.items()) + "."]
    sentences += [f"Left out: {name} ({reason})." for name, reason in left_out.items()]
    pairs = [
        pair
        for r in results
        for c in r["contestants"]
        if c["threads"] == 1
        for pair in c["batch_s"]
    ]
    if pairs:
        shares = np.divide(*np.transpose(pairs))
        sentences.append(
            f"Calls took {np.median(shares):.2f} times the time of their processor, in the median."
        )
    return " ".join(sentences)


def clock(result):
    """Choose between the time that passed, 0, and that of the processor, 1."""
    return 1 if tuple(result["threads"]) == (1,) else 0


def reference(result, contestant, name):
    """Find the contestant to compare with, at the same number of threads."""
    for c in result["contestants"]:
        if c["name"] == name and c["threads"] == contestant["threads"]:
            return c
    return None


def true_bits(result, contestant):
    return 8 * contestant["bytes_per_row"] / result["shape"][1]


def seconds_per_query(contestant, at_best=False):
    """Give the seconds of each round, or the least that passed in one."""
    pairs = np.array(contestant["batch_s"]) / contestant["n_queries"]
    return pairs[:, 0].min() if at_best else pairs[:, 1 if contestant["threads"] == 1 else 0]


def rate(contestant, at_best=False):
    """Count the queries a second, in one call."""
    if contestant is None or not contestant["batch_s"]:
        return None
    return 1 / np.median(seconds_per_query(contestant, at_best))


def speedup(contestant, other, at_best=False):
    """How many times faster than another, in one call."""
    if contestant is None or other is None or not contestant["batch_s"]:
        return None
    own, others = (seconds_per_query(c, at_best) for c in (contestant, other))
    return np.median(others / own)


def milliseconds(contestant):
    """Give the time of a query that comes alone."""
    if "single_s" not in contestant:
        return None
    return 1000 * contestant["single_s"][1 if contestant["threads"] == 1 else 0]


def speedup_single(contestant, other):
    if other is None or "single_s" not in contestant:
        return None
    return milliseconds(other) / milliseconds(contestant)
