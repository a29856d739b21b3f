"""A profile as one page: it loads nothing, runs no script, and follows the reader's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from onward.core.wording import counted
from onward.surfaces.cli.figures import share, summary, value

if TYPE_CHECKING:
    from onward.app.profile import Profile

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --paper: #ffffff; --panel: #f6f8fa; --bar: #2f6f9f; --warn: #9a4a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b3; --line: #373e47;
  --paper: #0f1419; --panel: #171d24; --bar: #6cb0e0; --warn: #f0a860; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 0 }
h1 + p, .type { color: var(--soft) }
.wide { overflow-x: auto } .wide table { min-width: 42rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .35rem .75rem .35rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top } th { color: var(--soft); font-weight: 600; font-size: .85rem }
tbody th { color: var(--ink); font-size: 1rem } .n { text-align: right;
  font-variant-numeric: tabular-nums } .missing { color: var(--warn) }
a { color: var(--bar) } caption { text-align: left; color: var(--soft); padding-bottom: .5rem }
section { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.25rem; margin-top: 1.25rem; display: grid; gap: .75rem 2rem;
  grid-template-columns: minmax(14rem, 1fr) minmax(0, 2fr) }
section > h2 { grid-column: 1 / -1; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1rem; margin: 0;
  align-content: start }
dt { color: var(--soft) } dd { margin: 0; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere } figure { margin: 0 }
figcaption { display: flex; justify-content: space-between; color: var(--soft);
  font-size: .85rem } svg { display: block; width: 100% } rect { fill: var(--bar) }
.top { list-style: none; margin: 0; padding: 0 } .top li { position: relative; display: flex;
  justify-content: space-between; gap: 1rem; padding: .1rem .5rem; margin-bottom: 2px }
.top span { position: relative; overflow-wrap: anywhere } .top i { position: absolute;
  inset: 0 auto 0 0; background: var(--bar); opacity: .22; border-radius: 3px }
@media (max-width: 44rem) { section { grid-template-columns: 1fr } }
@media print { section { break-inside: avoid } }
"""
_FACTS: Final = (
    ("min", "least"), ("0.05", "5 % below"), ("0.25", "25 % below"), ("0.5", "median"),
    ("0.75", "75 % below"), ("0.95", "95 % below"), ("max", "greatest"), ("mean", "mean"),
    ("std", "standard deviation"),
)  # fmt: skip


def page(found: Profile) -> str:
    """Return the page's HTML."""
    title = f"{escape(found.table)}@{found.snapshot}"
    about = (
        f"{counted(found.rows, 'row')}, {len(found.columns)} columns, published "
        f"{found.at:%Y-%m-%d %H:%M:%S} UTC, project {escape(found.project)}"
    )
    estimated = "" if found.exact else "; distinct values are estimated"
    rows = "".join(_row(i, n, f, found.rows) for i, (n, f) in enumerate(found.columns.items()))
    parts = "".join(_part(i, n, f, found.rows) for i, (n, f) in enumerate(found.columns.items()))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Profile of {title}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{title}</h1><p>{about}</p></header>
<main>
<div class="wide" tabindex="0" role="region" aria-label="All columns">
<table>
<caption>Values: least · median · greatest, or the most frequent{estimated}</caption>
<thead><tr><th scope="col">Column</th><th scope="col">Type</th>
<th scope="col" class="n">Missing</th><th scope="col" class="n">Distinct</th>
<th scope="col">Values</th></tr></thead>
<tbody>{rows}</tbody>
</table>
</div>
{parts}
</main>
</body>
</html>
"""


def _row(number: int, name: str, facts: Mapping[str, Any], rows: int) -> str:
    distinct = value(facts["distinct"]) if "distinct" in facts else ""
    return (
        f'<tr><th scope="row"><a href="#c{number}">{escape(name)}</a></th>'
        f'<td class="type">{escape(facts["dtype"].lower())}</td>'
        f'<td class="n">{_missing(facts, rows)}</td><td class="n">{distinct}</td>'
        f"<td>{escape(summary(facts, rows))}</td></tr>\n"
    )


def _part(number: int, name: str, facts: Mapping[str, Any], rows: int) -> str:
    told = [("type", escape(facts["dtype"].lower())), ("missing", _missing(facts, rows) or "none")]
    if "distinct" in facts:
        told.append(("distinct", value(facts["distinct"])))
    at = {**facts, **facts.get("quantiles", {})}
    told += [(word, escape(value(at[fact]))) for fact, word in _FACTS if at.get(fact) is not None]
    if facts.get("lengths"):
        told.append(("length", " to ".join(value(n) for n in facts["lengths"])))
    listed = "".join(f"<dt>{word}</dt><dd>{text}</dd>" for word, text in told)
    return (
        f'<section aria-labelledby="c{number}"><h2 id="c{number}">{escape(name)}</h2>'
        f"<dl>{listed}</dl>{_picture(name, facts, rows)}</section>\n"
    )


def _picture(name: str, facts: Mapping[str, Any], rows: int) -> str:
    if facts["type"] == "boolean" and facts["bars"]["counts"]:
        known = sum(facts["bars"]["counts"])
        of_each = zip(("false", "true"), facts["bars"]["counts"], strict=True)
        return _top([(word, count / known if known else 0) for word, count in of_each])
    if facts.get("bars", {}).get("counts"):
        return _histogram(name, facts["bars"], rows)
    if facts.get("distinct") == rows - facts["nulls"] > 1:
        return "<p>no value occurs twice</p>"
    if facts.get("top"):
        return _top([(text, part) for text, part in facts["top"]])
    return "<p>one value, or none</p>" if "distinct" in facts else ""


def _histogram(name: str, bars: Mapping[str, Any], rows: int) -> str:
    counts, most = bars["counts"], max(bars["counts"])
    low, high = escape(value(bars["low"])), escape(value(bars["high"]))
    width = 100 / len(counts)
    drawn = "".join(
        f'<rect x="{i * width:.2f}" y="{40 * (1 - count / most):.2f}" width="{width * 0.92:.2f}" '
        f'height="{40 * count / most:.2f}">'
        f"<title>{counted(count, 'row')}, {share(count, rows)}</title></rect>"
        for i, count in enumerate(counts)
        if count
    )
    label = (
        f"{escape(name)} from {low} to {high} in {len(counts)} equal parts; "
        f"the fullest is part {counts.index(most) + 1} with {share(most, rows)} of the rows"
    )
    return (
        f'<figure><svg viewBox="0 0 100 40" preserveAspectRatio="none" height="140" role="img" '
        f'aria-label="{label}">{drawn}</svg>'
        f"<figcaption><span>{low}</span><span>{high}</span></figcaption></figure>"
    )


def _top(values: Sequence[tuple[str, float]]) -> str:
    listed = "".join(
        f'<li><i style="width:{100 * part:.1f}%"></i><span>{escape(str(text)) or "(empty)"}</span>'
        f"<span>{share(part, 1)}</span></li>"
        for text, part in values
    )
    return f'<ul class="top" aria-label="Most frequent values">{listed}</ul>'


def _missing(facts: Mapping[str, Any], rows: int) -> str:
    if not facts["nulls"]:
        return ""
    return f'<span class="missing">{share(facts["nulls"], rows)}</span>'
