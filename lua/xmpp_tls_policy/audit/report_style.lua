--- The style sheet of report_html.lua. Light and dark, narrow and wide, screen and paper.
return [[
:root {
	color-scheme: light dark;
	--paper: #f6f7f9; --card: #fff; --ink: #1b1f24; --faint: #59636e; --line: #d5dae0;
	--good: #1a7f37; --bad: #c1121f; --warn: #8a5a00; --idle: #59636e;
	--bad-tint: #fdecec; --warn-tint: #fff5dc;
}
@media (prefers-color-scheme: dark) {
	:root {
		--paper: #0f1318; --card: #181d24; --ink: #e4e8ee; --faint: #9aa5b1; --line: #303844;
		--good: #4cc46b; --bad: #ff7b78; --warn: #e5b04b; --idle: #9aa5b1;
		--bad-tint: #351a1c; --warn-tint: #302710;
	}
}
* { box-sizing: border-box; }
body {
	margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 70rem; background: var(--paper); color: var(--ink);
	font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.4rem; margin: 0; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0; }
code, .name { font-family: ui-monospace, monospace; font-size: .92em; }
a { color: inherit; }
.faint { color: var(--faint); }
.level { font-size: .8em; font-weight: 600; color: var(--faint); }
.title { display: flex; gap: .75rem; align-items: center; }
.domain { border-top: 2px solid var(--line); margin-top: 2.5rem; padding-top: 1.5rem; }
.grade {
	flex: none; display: inline-block; min-width: 2.2em; padding: .2em .5em; border-radius: .4rem; text-align: center;
	font-weight: 700; color: var(--card); background: var(--idle);
}
h2 .grade, .title > .grade { font-size: 1.4rem; }
.grade-A { background: var(--good); }
.grade-B, .grade-C { background: var(--warn); }
.grade-D, .grade-F { background: var(--bad); }
.bar { display: flex; height: .6rem; border-radius: .3rem; overflow: hidden; margin: .6rem 0; background: var(--line); }
.bar span { min-width: 2px; }
.holds { --tone: var(--good); } .broken { --tone: var(--bad); } .no-answer { --tone: var(--warn); }
.not-offered, .not-asked, .inside { --tone: var(--idle); }
.bar span { background: var(--tone); }
.bar .not-offered, .bar .not-asked, .bar .inside { background: var(--line); }
.mark { color: var(--tone); font-weight: 700; white-space: nowrap; }
.finding { padding: .5rem .8rem; border-left: .3rem solid var(--warn); background: var(--warn-tint); margin: .5rem 0; }
.alarm { border-color: var(--bad); background: var(--bad-tint); }
.finding b { text-transform: uppercase; letter-spacing: .03em; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: .75rem; }
.cards { align-items: start; }
.card:has(details[open]) { grid-column: 1 / -1; }
.card, details.clause, .list {
	background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; min-width: 0;
}
details.clause { margin: .4rem 0; padding: 0; border-left: .3rem solid var(--tone); }
summary { cursor: pointer; padding: .45rem .8rem; }
details.clause > summary {
	display: grid; grid-template-columns: 7.5rem 11.5rem 1fr; gap: 0 .8rem; align-items: baseline;
}
summary:focus-visible { outline: 2px solid currentColor; outline-offset: -2px; }
.inner { padding: .2rem .8rem .7rem; border-top: 1px solid var(--line); }
.place { margin: .6rem 0; }
.evidence { margin: .2rem 0 .2rem 1rem; padding: 0; color: var(--faint); font-size: .92em; }
.evidence li { margin: .15rem 0; list-style: "– "; }
.more { margin: .6rem 0; }
.more > summary { padding: .2rem 0; }
dl {
	display: grid; grid-template-columns: minmax(5rem, max-content) minmax(0, 1fr); gap: .1rem .8rem; margin: .2rem 0;
}
dl dl dl, .values dl { grid-template-columns: minmax(0, 1fr); }
dt { color: var(--faint); } dd { margin: 0; }
.values { margin: .1rem 0; padding-left: 1.2rem; }
.list { padding: 0; margin: 1rem 0; }
.row {
	display: grid; grid-template-columns: 3.2rem minmax(8rem, 1fr) minmax(0, 2fr); gap: .2rem .8rem;
	align-items: baseline; padding: .5rem .8rem; border-bottom: 1px solid var(--line);
}
.row:last-child { border-bottom: 0; }
@media (max-width: 42rem) {
	body { padding: 1rem .7rem 3rem; }
	details.clause > summary { grid-template-columns: auto 1fr; }
	details.clause > summary > :last-child { grid-column: 1 / -1; }
	.row { grid-template-columns: 3.2rem 1fr; }
	.row > :last-child { grid-column: 1 / -1; }
	dl { grid-template-columns: minmax(0, 1fr); } dd { margin: 0 0 .3rem 1rem; }
}
@media print {
	:root {
		--paper: #fff; --card: #fff; --ink: #000; --faint: #444; --line: #bbb; --good: #0a5c22; --bad: #a00; --warn: #6a4500;
		--idle: #444; --bad-tint: #fff; --warn-tint: #fff;
	}
	body { max-width: none; padding: 0; font-size: 10pt; }
	.grade { border: 1pt solid; color: var(--ink); background: none; }
	details.clause::details-content { content-visibility: visible; height: auto; }
	details.clause, .card, .row, .finding { break-inside: avoid; }
	.domain { break-before: page; } .only + .domain { break-before: auto; }
}
]]
