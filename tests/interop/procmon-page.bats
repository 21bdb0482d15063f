#!/usr/bin/env bats
# procmon's pages in a real browser: what somebody sees who looks at them, and that nothing has to be reloaded for it.
# Each in_page fails, too, when the page complains: an error on the console, something that its own Content-Security-Policy
# refused, a dialog.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # dollars in the steps are JavaScript's
# shellcheck disable=SC2153 # PORT, SERVER_PID and SERVER_LOG are set by start_server

load ../helpers
load ../fixtures/procmon
load ../browser

setup_file() {
	start_browser
}

teardown_file() {
	stop_servers
}

setup() {
	need_browser
	open_page
	PAGES=(/ /threads /files /sockets /maps /limits /cmdline)
}

# monitor ARGS...: procmon, five times a second; its pages are at $URL.
monitor() {
	start_server "$TCPLAB_BIN/procmon" -p 0 -i 200ms "$@"
	URL=http://127.0.0.1:$PORT
}

@test "each page: is there, has what a reader needs, fits a phone, can be read in light and in dark" {
	load_with fixed 10 --sockets 3 --files 5 --idle-threads 3
	monitor --allow-environ "$LOAD"
	in_page "$URL" "${PAGES[@]}" /environ <"$TCPLAB_ROOT/tests/fixtures/browser/each-page.mjs"
}

@test "figures and charts change by themselves" {
	load_with fixed 30
	monitor "$LOAD"
	in_page "$URL" <<-'END'
		await page.goto(args[0]);
		await page.evaluate(() => { window.isSame = true; });
		const look = () => page.evaluate(() => ({
			figures: document.querySelector(".cards").textContent,
			charts: [...document.querySelectorAll("svg.chart path")].map(p => p.getAttribute("d")).join(),
		}));
		await until("it says that it is live", async () => await page.textContent("#live") === "live");
		const first = await look();
		const changed = async what => (await look())[what] !== first[what];
		await until("figures change", () => changed("figures"));
		await until("charts grow", () => changed("charts"));
		check("the page was not loaded again", await page.evaluate(() => window.isSame));
	END
}

@test "a chart shows when load begins, and a mark where it was put, without a reload" {
	need curl
	load_with fixed 90
	stop_load
	monitor "$LOAD"
	in_page "$URL" <<-'END'
		await page.goto(args[0]);
		await page.evaluate(() => { window.isSame = true; });
		const figure = page.locator(".card", { hasText: /^CPU/ }).locator("b");
		await until("it is still", async () => parseFloat(await figure.innerText()) === 0);
	END
	run -0 curl -sS -o /dev/null -w '%{http_code}' -X POST "$URL/mark?label=now+%3Cb%3Eit%3C/b%3E+works"
	same status "$output" 204
	kill -CONT "$LOAD"
	in_page <<-'END'
		const figure = page.locator(".card", { hasText: /^CPU/ }).locator("b");
		await until("the figure rises", async () => parseFloat(await figure.innerText()) > 20);
		const chart = page.locator("svg.chart[aria-label='Processor time']");
		await until("the chart rises", () => chart.evaluate(svg => [...svg.querySelectorAll("path.line")]
			.some(line => line.getBBox().height > svg.viewBox.baseVal.height / 4)));
		const marked = await page.locator("svg.chart", { hasText: "now <b>it</b> works" }).count();
		same("charts with the mark", marked, await page.locator("svg.chart").count());
		check("the page was not loaded again", await page.evaluate(() => window.isSame));
	END
}

@test "the form puts a mark, and nothing is replaced while somebody types" {
	load_with fixed 10
	monitor "$LOAD"
	in_page "$URL" <<-'END'
		await page.goto(args[0] + "/?span=2h");
		const input = page.locator("form input[name=label]");
		await input.fill("");
		await input.pressSequentially("by hand", { delay: 100 });
		same("what was typed", await input.inputValue(), "by hand");
		await input.press("Enter");
		await page.locator("svg.chart", { hasText: "by hand" }).first().waitFor();
		same("back on the same page", new URL(page.url()).pathname, "/");
	END
}

@test "the end of the process is shown without a reload, and all that was seen stays" {
	mkfifo "$BATS_TEST_TMPDIR/end"
	monitor -- bash -c "read -r <$BATS_TEST_TMPDIR/end; exit 3"
	in_page "$URL" <<-'END'
		await page.goto(args[0]);
		await page.evaluate(() => { window.isSame = true; });
		await until("it is live", async () => await page.textContent("#live") === "live");
		check("it has not ended", !(await page.innerText("body")).includes("exit status"));
	END
	echo >"$BATS_TEST_TMPDIR/end"
	in_page "$URL" "${PAGES[@]}" <<-'END'
		await page.getByText("exit status 3").first().waitFor();
		check("the page was not loaded again", await page.evaluate(() => window.isSame));
		check("the charts stay", await page.locator("svg.chart").count() >= 8);
		for (const path of args.slice(1)) {
			same(path, (await page.goto(args[0] + path)).status(), 200);
			check(path + " says how it ended", (await page.innerText("body")).includes("exit status 3"));
		}
		await page.goto(args[0] + "/threads");
		check("the last that was seen of its threads", await page.locator("main tbody tr").count() >= 1);
	END
}

@test "names that would be tags stay text, on every page, in every chart and in the report" {
	need python3 curl
	local bad='<script>alert(1)</script>' folder
	folder="$BATS_TEST_TMPDIR/<img src=x onerror=alert(2)>"
	mkdir "$folder"
	start_worker python3 "$TCPLAB_ROOT/tests/fixtures/bad_names.py" "$folder" "$bad"
	LOAD=$WORKER
	wait_until grep -q ready "$WORKER_OUT"
	monitor --allow-environ --name "$bad" --report "$BATS_TEST_TMPDIR/report.html" "$LOAD"
	curl -sS -X POST "$URL/mark?label=%3Cscript%3Ealert(3)%3C/script%3E"
	cat >"$BATS_TEST_TMPDIR/look.mjs" <<-'END'
		const [url, ...paths] = args;
		const text = () => page.evaluate(() => document.documentElement.textContent);
		for (const path of paths) {
			await page.goto(url + path);
			if (path === "/")
				await page.locator("svg.chart", { hasText: "<script>alert(3)" }).first().waitFor();
			same(path + ": images", await page.locator("img[src=x], [onerror]").count(), 0);
			same(path + ": scripts", await page.locator("script", { hasText: /^alert/ }).count(), 0);
			check(path + " shows the name as it is", (await text()).includes("<script>alert(1)</script>"));
		}
	END
	in_page "$URL" "${PAGES[@]}" /environ <"$BATS_TEST_TMPDIR/look.mjs"
	in_page "$URL" <<-'END'
		for (const name of ["cpu", "memory", "threads", "switches", "faults", "io", "sockets", "queues"]) {
			const response = await page.goto(`${args[0]}/${name}.svg?span=2h`);
			same(name, response.headers()["content-type"].split(";")[0], "image/svg+xml");
			same(name + ": what the parser says", await page.locator("parsererror").count(), 0);
			const text = await page.evaluate(() => document.documentElement.textContent);
			check(name + " has the mark", text.includes("<script>alert(3)"));
		}
	END
	kill -INT "$SERVER_PID"
	wait_server
	in_page "file://$BATS_TEST_TMPDIR/report.html" "" <"$BATS_TEST_TMPDIR/look.mjs"
}

@test "without JavaScript: figures, charts, marks, and it loads itself again" {
	load_with fixed 30 --sockets 2
	monitor "$LOAD"
	open_page '{"javaScriptEnabled":false}'
	in_page "$URL" <<-'END'
		await page.goto(args[0]);
		check("figures", /\d/.test(await page.locator(".cards").first().innerText()));
		check("charts", await page.locator("svg.chart path.line").count() >= 6);
		await until("the form puts a mark", async () => { // again, if the page has loaded itself meanwhile
			await page.locator("form input[name=label]").fill("no script");
			await page.locator("form button").first().click();
			return await page.locator("svg.chart", { hasText: "no script" }).count() > 0;
		});
		same("back on the page", new URL(page.url()).pathname, "/");
		for (const [path, text] of [["/threads", "dummyload"], ["/sockets", "127.0.0.1"]]) {
			await page.goto(args[0] + path);
			check(path, (await page.locator("main table").first().innerText()).includes(text));
		}
		const before = requests.length;
		await until("it loads itself again", () => requests.length > before);
	END
}

@test "several processes: a tab for each; links keep process, page and span" {
	load_with fixed 10
	local first=$LOAD
	load_with fixed 20
	monitor "$first,$LOAD"
	in_page "$URL" "$first" "$LOAD" <<-'END'
		const [url, first, second] = args;
		const query = () => new URL(page.url()).searchParams;
		const header = () => page.locator("header").first().innerText();
		await page.goto(url);
		check("the first one to begin with", (await header()).includes(first));
		await page.locator(`a[href*="pid=${second}"]`).first().click();
		same("pid", query().get("pid"), second);
		const dates = () => page.locator("svg.chart text").allTextContents();
		const short = await dates();
		await page.locator('a[href*="span=2h"]').first().click();
		same("pid", query().get("pid"), second);
		check("another time axis", (await dates()).join() !== short.join());
		await page.locator("nav a", { hasText: "Threads" }).first().click();
		same("where", [new URL(page.url()).pathname, query().get("pid")], ["/threads", second]);
		check("threads of the second", (await page.locator("main tbody").first().innerText()).includes(second));
		await page.locator(`a[href*="pid=${first}"]`).first().click();
		same("still threads", [new URL(page.url()).pathname, query().get("pid")], ["/threads", first]);
		same("no such process", (await context.request.get(url + "/?pid=1")).status(), 404);
	END
}

@test "what may not be read is said to be unknown, and not to be nothing" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	open_folder
	cp "$TCPLAB_BIN/procmon" "$OPEN_FOLDER"
	load_with fixed 10 --sockets 2
	start_server setpriv --reuid=65534 --regid=65534 --clear-groups -- "$OPEN_FOLDER/procmon" -p 0 -i 200ms "$LOAD"
	in_page "http://127.0.0.1:$PORT" <<-'END'
		for (const path of ["/", "/threads", "/files", "/sockets", "/maps"]) {
			await page.goto(args[0] + path);
			const text = await page.innerText("main");
			same(`${path}: how often it says why`, text.split("CAP_SYS_PTRACE").length - 1, 1);
			check(`${path} does not say that there is none`, !text.includes("It has no"));
			if (path === "/threads" || path === "/")
				continue;
			const figures = await page.locator(".card b").allInnerTexts();
			same(`${path}: cards`, figures.filter(figure => /^0/.test(figure)), []);
		}
	END
}

@test "the offline report asks for nothing, and shows all" {
	load_with fixed 30 --sockets 2
	monitor --report "$BATS_TEST_TMPDIR/report.html" "$LOAD"
	wait_until has_samples 5
	kill -INT "$SERVER_PID"
	wait_server
	in_page "file://$BATS_TEST_TMPDIR/report.html" <<-'END'
		await page.goto(args[0]);
		same("requests", requests.map(decodeURI), [decodeURI(args[0])]);
		check("charts", await page.locator("svg.chart path.line").count() >= 6);
		const text = await page.innerText("body");
		for (const word of ["dummyload", "fixed", "127.0.0.1"])
			check(`it has ${word}`, text.includes(word));
		same("scripts", await page.locator("script").count(), 0);
		await page.setViewportSize({ width: 400, height: 800 });
		check("it fits a phone", await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
		const links = await page.evaluate(() => [...document.links].map(link => link.getAttribute("href")));
		same("links out of it", links.filter(href => !href.startsWith("#")), []);
	END
}

has_samples() {
	[ "$(curl -sS "$URL/json" | field samples process)" -ge "$1" ]
}

@test "when procmon has gone the page says so" {
	load_with fixed 10
	monitor "$LOAD"
	in_page "$URL" <<-'END'
		await page.goto(args[0]);
		await until("it is live", async () => await page.textContent("#live") === "live");
	END
	kill -INT "$SERVER_PID"
	wait_server
	in_page <<-'END'
		await until("it says so", async () => /^no connection to /.test(await page.textContent("#live")));
		check("the last figures stay", /\d/.test(await page.locator(".cards").first().innerText()));
		complaints.splice(0);
	END
}
