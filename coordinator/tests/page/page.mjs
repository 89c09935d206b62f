// Opens the page of a coordinator in Chromium as a person would: types a prompt, waits for the picture,
// looks at the chart, reloads, in the sizes of a phone and of a desk.
//
//   node page.mjs CHROMIUM COORDINATOR MODEL DIRECTORY    leaves screenshots in the directory
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [executablePath, base, model, directory] = process.argv.slice(2);
const sizes = [
	{ name: "phone", width: 390, height: 844, colorScheme: "light", isMobile: true, deviceScaleFactor: 2, hasTouch: true },
	{ name: "desk", width: 1280, height: 800, colorScheme: "light" },
	{ name: "desk-dark", width: 1280, height: 800, colorScheme: "dark" },
];

/** What went wrong in a page, as its console and its requests tell. */
function troubles(page) {
	const found = [];
	page.on("console", (message) => message.type() === "error" && found.push(message.text()));
	page.on("pageerror", (error) => found.push(String(error)));
	page.on("request", (request) => {
		const elsewhere = !request.url().startsWith(base) && !/^(data|blob):/.test(request.url());
		if (elsewhere) found.push(`asks ${request.url()}`);
	});
	return found;
}

async function fits(page, name) {
	const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
	assert.ok(content <= window, `${name}: ${content} pixels wide in a window of ${window}`);
}

async function makePicture(page, prompt) {
	await page.fill("#prompt", prompt);
	await page.selectOption("#size", "64x64");
	await page.selectOption("#model", model);
	await page.fill("#steps", "2");
	await page.click("#make");
	const shown = (prompt) =>
		document.querySelector("#caption").textContent.startsWith(prompt) &&
		document.querySelector("#picture").naturalWidth === 64;
	await page.waitForFunction(shown, prompt);
	await page.waitForSelector("#work", { state: "hidden" });
	assert.ok(await page.isHidden("#error"), await page.textContent("#error"));
}

/** The chart says what the coordinator says. */
async function checkChart(page) {
	const { miners } = await (await fetch(`${base}/v1/status`)).json();
	const done = miners.reduce((sum, miner) => sum + miner.tasksDone, 0);
	assert.ok(done > 0);
	const percent = (share) => `${(100 * share).toFixed(1)} %`;
	const wanted = miners.flatMap((miner) => [percent(miner.share), percent(miner.tasksDone / done)]);
	const shown = () => [...document.querySelectorAll("#chart .value")].map((value) => value.textContent);
	const same = (wanted) =>
		JSON.stringify([...document.querySelectorAll("#chart .value")].map((value) => value.textContent)) === wanted;
	await page.waitForFunction(same, JSON.stringify(wanted)).catch(async () => {
		assert.deepEqual(await page.evaluate(shown), wanted);
	});
	const widths = await page.$$eval("#chart rect.stake", (bars) => bars.map((bar) => Number(bar.getAttribute("width"))));
	const shares = miners.map((miner) => miner.share);
	for (let i = 1; i < widths.length; i++) {
		assert.ok(Math.abs(widths[i] / widths[0] - shares[i] / shares[0]) < 0.01, `${widths}: ${shares}`);
	}
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
for (const { name, width, height, ...options } of sizes) {
	const context = await browser.newContext({ viewport: { width, height }, ...options });
	const page = await context.newPage();
	const found = troubles(page);
	await page.goto(base);
	await page.waitForSelector("#standing.good");
	await fits(page, name);
	await makePicture(page, `a red bird on a ${name}`);
	await makePicture(page, "another one, with a very long prompt that goes on and on ".repeat(4).trim());
	await checkChart(page);
	await page.evaluate(() => scrollTo(0, 0));
	await page.screenshot({ path: `${directory}/${name}.png`, fullPage: true });
	await fits(page, name);

	// This browser remembers its own pictures, and forgets them when it is told.
	await page.reload();
	await page.waitForFunction(() => document.querySelectorAll("#gallery img").length === 2);
	await page.click("#gallery button >> nth=1");
	await page.waitForSelector("#result:not([hidden])");
	assert.ok((await page.textContent("#caption")).startsWith("a red bird on a"));
	await page.click("#forget");
	await page.waitForFunction(() => document.querySelectorAll("#gallery img").length === 0);
	await page.reload();
	await page.waitForSelector("#standing.good");
	assert.equal(await page.locator("#gallery img").count(), 0);
	assert.deepEqual(found, [], name);

	// What is refused is said. (The browser writes the status of such an answer to its console.)
	await page.fill("#prompt", "x");
	await page.selectOption("#model", "");
	await page.evaluate(() => {
		const select = document.querySelector("#size");
		select.append(new Option("65x65"));
		select.value = "65x65";
	});
	await page.click("#make");
	await page.waitForSelector("#error:not([hidden])");
	assert.match(await page.textContent("#error"), /width is 65.*INVALID_REQUEST/);
	assert.ok(await page.isEnabled("#make"));
	await context.close();
}

// What a task is called is text, not markup, and a key is sent with every request and not kept.
const context = await browser.newContext();
const page = await context.newPage();
const found = troubles(page);
const keys = [];
page.on("request", async (request) => {
	if (new URL(request.url()).pathname === "/v1/tasks") keys.push(request.headers().authorization);
});
await page.goto(base);
await page.waitForSelector("#standing.good");
await page.click("form details summary");
await page.fill("#key", "my key");
await makePicture(page, "<img src=x onerror=alert(1)>");
assert.deepEqual(keys, ["Bearer my key"]);
assert.equal(await page.evaluate(() => sessionStorage.getItem("cuckoo.key")), '"my key"');
assert.equal(await page.evaluate(() => localStorage.getItem("cuckoo.key")), null);
assert.deepEqual(found, []);
await browser.close();
console.log("all as expected");
