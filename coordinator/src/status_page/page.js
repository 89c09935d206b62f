"use strict";
const $ = (id) => document.getElementById(id);
const POLL_MS = 2000;
const KEPT = 12;
const FINAL = ["done", "failed", "cancelled", "expired"];

// --- small tools ---------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
function make(tag, attributes = {}, ...children) {
	const svg = ["svg", "g", "rect", "line", "text", "title"].includes(tag);
	const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	element.append(...children);
	return element;
}
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const short = (address) => (address.length > 14 ? `${address.slice(0, 6)}…${address.slice(-4)}` : address);
const clip = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const seconds = (value) => (value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
function read(storage, name, otherwise) {
	try {
		return JSON.parse(storage.getItem(name)) ?? otherwise;
	} catch {
		return otherwise;
	}
}
function write(storage, name, value) {
	try {
		if (value === null) storage.removeItem(name);
		else storage.setItem(name, JSON.stringify(value));
	} catch {
		// Without storage the page forgets when it is closed.
	}
}

class Refused extends Error {
	constructor(status, code, message) {
		super(message);
		this.status = status;
		this.code = code;
	}
}

/** A request to the coordinator, with the key if there is one. Throws what it is refused with. */
async function call(path, options = {}) {
	const headers = { ...options.headers };
	const key = $("key").value.trim();
	if (key) headers.authorization = `Bearer ${key}`;
	const response = await fetch(path, { ...options, headers });
	if (response.ok) return response;
	const refusal = await response.json().catch(() => ({}));
	const body = refusal.error ?? refusal;
	throw new Refused(response.status, body.code ?? "", body.message ?? `the answer was ${response.status}`);
}

// --- the network ---------------------------------------------------------------------------------

let lastStatus = null;

async function watchNetwork() {
	for (;;) {
		if (!document.hidden) await lookAtNetwork();
		await pause(POLL_MS);
	}
}

async function lookAtNetwork() {
	try {
		lastStatus = await (await call("/v1/status")).json();
		showStatus(lastStatus);
	} catch (error) {
		stand("bad", error instanceof Refused ? error.message : "the coordinator cannot be reached");
	}
}

function stand(how, text) {
	$("standing").className = `standing ${how}`;
	$("standing-text").textContent = text;
}

function showStatus(status) {
	const { coordinator, miners, others } = status;
	const live = miners.filter((miner) => miner.live).length + others.live;
	const registered = miners.length + others.miners;
	if (!status.accepting) stand("bad", "going down");
	else if (live === 0) stand("bad", "no miner is connected");
	else stand("good", "takes tasks");
	$("queued").textContent = coordinator.queued;
	$("running").textContent = coordinator.running;
	$("live").textContent = `${live} of ${registered}`;
	$("block").textContent = coordinator.finalizedBlock.toLocaleString("en");
	showModels(status.load);
	showMiners(miners, others);
	const started = new Date(status.startedAt);
	$("since").textContent = started.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
	const identity = {
		Coordinator: coordinator.stash,
		Operator: coordinator.operator,
		Chain: coordinator.genesis,
		Version: coordinator.version,
	};
	$("identity").replaceChildren(
		...Object.entries(identity).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
	);
}

function showModels(load) {
	const names = load.map((model) => model.model);
	const select = $("model");
	const shown = [...select.options].slice(1).map((option) => option.value);
	if (names.join("\n") !== shown.join("\n")) {
		const chosen = select.value;
		select.replaceChildren(select.options[0], ...names.map((name) => make("option", { value: name }, name)));
		select.value = names.includes(chosen) ? chosen : "";
	}
	const wait = (model) => (model.waitSeconds === null ? "unknown" : seconds(model.waitSeconds));
	const rows = load.map((model) => [model.model, model.queued, `${model.freeSlots} of ${model.slots}`, wait(model)]);
	$("models").replaceChildren(table(["model", "waiting", "free slots", "wait"], rows));
}

function table(heads, rows) {
	const cell = (tag) => (value, column) => make(tag, column ? { class: "number" } : {}, String(value));
	return make(
		"table",
		{},
		make("thead", {}, make("tr", {}, ...heads.map(cell("th")))),
		make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell("td"))))),
	);
}

function showMiners(miners, others) {
	const done = miners.reduce((sum, miner) => sum + miner.tasksDone, others.tasksDone);
	const rows = miners.map((miner) => ({ ...miner, label: miner.name || short(miner.stash) }));
	if (others.miners > 0) rows.push({ ...others, label: `${others.miners} others`, live: others.live > 0, others: true });
	for (const row of rows) row.taskShare = done > 0 ? row.tasksDone / done : 0;
	drawChart(rows);
	const standing = (row) => (row.others ? `${row.live ? "some live" : "away"}` : row.live ? "live" : "away");
	$("table").replaceChildren(
		table(
			["miner", "stake share", "task share", "done", "failed", "now", "stash"],
			rows.map((row) => [
				row.label, percent(row.share), percent(row.taskShare), row.tasksDone, row.tasksFailed,
				standing(row), row.stash ?? "",
			]),
		),
	);
}

function drawChart(rows) {
	const width = Math.max(240, $("chart").clientWidth);
	const [height, bar, space] = [46, 9, 58];
	const most = Math.max(0.01, ...rows.flatMap((row) => [row.share, row.taskShare]));
	const scale = (share) => (share / most) * (width - space);
	const bars = (row, index) => {
		const top = index * height;
		const one = (share, y, kind) => [
			make("rect", { class: `bar ${kind}`, x: 0, y, width: Math.max(scale(share), share > 0 ? 1.5 : 0), height: bar, rx: 2 }),
			make("text", { class: "value", x: scale(share) + 6, y: y + bar - 0.5 }, percent(share)),
		];
		// A letter is some 7.5 pixels wide.
		const label = clip(row.label, Math.floor(width / 7.5) - 8) + (row.live ? "" : " (away)");
		return make(
			"g",
			{},
			make("title", {}, `${row.label}: ${percent(row.share)} of the stake, ${percent(row.taskShare)} of the tasks`),
			make("text", { class: row.live ? "" : "away", x: 0, y: top + 15 }, label),
			...one(row.share, top + 20, "stake"),
			...one(row.taskShare, top + 31, "tasks"),
		);
	};
	const label = "Share of the stake and share of the tasks of each miner; the same numbers are in the table";
	const total = Math.max(1, rows.length) * height;
	const svg = make("svg", { viewBox: `0 0 ${width} ${total}`, height: total, role: "img", "aria-label": label });
	if (rows.length === 0) svg.append(make("text", { class: "away", x: 0, y: 26 }, "No miner is registered."));
	svg.append(make("line", { class: "base", x1: 0, x2: 0, y1: 0, y2: total }), ...rows.map(bars));
	$("chart").replaceChildren(svg);
}

// --- a picture -----------------------------------------------------------------------------------

let task = null;

function request() {
	const [width, height] = $("size").value.split("x").map(Number);
	const body = {
		prompt: $("prompt").value,
		negativePrompt: $("negative").value,
		width,
		height,
		steps: Number($("steps").value),
		guidanceScale: Number($("guidance").value),
		sampler: $("sampler").value,
	};
	if ($("seed").value !== "") body.seed = Number($("seed").value);
	if ($("model").value !== "") body.model = $("model").value;
	return body;
}

async function offer() {
	fail(null);
	working(true, "offering…");
	try {
		const answer = await call("/v1/tasks", {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify(request()),
		});
		await follow((await answer.json()).taskId);
	} catch (error) {
		fail(error);
	}
	working(false);
}

/** Shows a task until its end, then its pictures. */
async function follow(id) {
	task = id;
	write(sessionStorage, "cuckoo.task", id);
	let status = null;
	while (status === null || !FINAL.includes(status.state)) {
		try {
			for await (status of events(await call(`/v1/tasks/${id}/events`))) showProgress(status);
		} catch (error) {
			if (error instanceof Refused) throw error;
		}
		if (status === null || !FINAL.includes(status.state)) await pause(1000);
	}
	task = null;
	write(sessionStorage, "cuckoo.task", null);
	if (status.state === "done") {
		remember(status);
		await show(read(localStorage, "cuckoo.pictures", [])[0]);
	} else if (status.state !== "cancelled") {
		throw new Refused(0, status.failure?.code ?? "", status.failure?.message ?? `the task is ${status.state}`);
	}
}

/** The data of server-sent events. (An EventSource cannot send a key.) */
async function* events(response) {
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let buffer = "";
	for (;;) {
		const { value, done } = await reader.read();
		if (done) return;
		buffer += value;
		const parts = buffer.split("\n\n");
		buffer = parts.pop();
		for (const part of parts) {
			const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
			if (data.length > 0) yield JSON.parse(data.join("\n"));
		}
	}
}

function showProgress(status) {
	const miners = lastStatus?.miners ?? [];
	const miner = miners.find((other) => other.stash === status.miner);
	const who = status.miner ? miner?.name || short(status.miner) : "";
	const text = {
		queued: status.attempt > 0 ? "waiting for another miner" : "waiting for a miner",
		leased: `${who} is at step ${status.step} of ${status.steps}`,
		verifying: "checking the picture",
	};
	working(true, text[status.state] ?? status.state, status.step / Math.max(1, status.steps));
}

function working(busy, text = "", part = null) {
	$("make").disabled = busy;
	$("cancel").hidden = !busy;
	$("work").hidden = !busy;
	$("progress-text").textContent = text;
	if (part > 0) $("progress").value = part;
	else $("progress").removeAttribute("value");
}

function fail(error) {
	$("error").hidden = error === null;
	if (error === null) return;
	const known = error instanceof Refused;
	const text = known ? error.message : "the coordinator cannot be reached";
	$("error").textContent = known && error.code ? `${text} (${error.code})` : text;
	if (known && error.status === 401) $("key").closest("details").open = true;
}

/** The bytes of a picture as an address for this page only. */
async function load(path) {
	return URL.createObjectURL(await (await call(path)).blob());
}

async function show(entry) {
	const address = await load(entry.path);
	URL.revokeObjectURL($("picture").src);
	$("picture").src = address;
	$("picture").alt = entry.prompt;
	$("caption").textContent = `${entry.prompt} · seed ${entry.seed} · ${entry.model}`;
	$("download").href = address;
	$("download").download = `cuckoo-${entry.seed}.png`;
	$("result").hidden = false;
}

function remember(status) {
	const { prompt, seed, model } = status.spec;
	const made = status.pictures.map((picture) => ({ path: picture.path, prompt, seed, model }));
	const kept = [...made, ...read(localStorage, "cuckoo.pictures", [])].slice(0, KEPT);
	write(localStorage, "cuckoo.pictures", kept);
	showGallery(kept);
}

const thumbnails = new Map();

async function showGallery(entries) {
	const items = await Promise.all(
		entries.map(async (entry) => {
			try {
				if (!thumbnails.has(entry.path)) thumbnails.set(entry.path, await load(entry.path));
			} catch (error) {
				return error instanceof Refused && error.status === 404 ? null : [entry, null];
			}
			const button = make("button", { type: "button", title: entry.prompt }, make("img", { src: thumbnails.get(entry.path), alt: entry.prompt }));
			button.addEventListener("click", () => show(entry).catch(fail));
			return [entry, button];
		}),
	);
	// The coordinator keeps pictures for a limited time.
	const there = items.filter((item) => item !== null);
	if (there.length < entries.length) write(localStorage, "cuckoo.pictures", there.map(([entry]) => entry));
	$("gallery").replaceChildren(...there.map(([, button]) => button).filter((button) => button !== null));
	$("forget").hidden = there.length === 0;
	const away = there.filter(([, button]) => button === null).length;
	$("gallery-note").hidden = there.length > 0 && away === 0;
	$("gallery-note").textContent =
		away > 0
			? `${away} more need the API key with which they were made.`
			: "Pictures that you make here are listed here, in this browser only.";
}

function forget() {
	write(localStorage, "cuckoo.pictures", null);
	for (const address of thumbnails.values()) URL.revokeObjectURL(address);
	thumbnails.clear();
	showGallery([]);
}

// --- the beginning -------------------------------------------------------------------------------

$("key").value = read(sessionStorage, "cuckoo.key", "");
$("key").addEventListener("change", () => {
	write(sessionStorage, "cuckoo.key", $("key").value.trim() || null);
	showGallery(read(localStorage, "cuckoo.pictures", []));
});
$("form").addEventListener("submit", (event) => {
	event.preventDefault();
	offer();
});
$("prompt").addEventListener("keydown", (event) => {
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("make").disabled) $("form").requestSubmit();
});
$("cancel").addEventListener("click", () => task && call(`/v1/tasks/${task}`, { method: "DELETE" }).catch(fail));
$("forget").addEventListener("click", forget);
new ResizeObserver(() => lastStatus && showMiners(lastStatus.miners, lastStatus.others)).observe($("chart"));
showGallery(read(localStorage, "cuckoo.pictures", []));
const unfinished = read(sessionStorage, "cuckoo.task", null);
if (unfinished) {
	follow(unfinished)
		.catch((error) => {
			write(sessionStorage, "cuckoo.task", null);
			fail(error);
		})
		.finally(() => working(false));
}
watchNetwork();
