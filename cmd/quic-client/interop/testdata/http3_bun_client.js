// Ask an HTTP/3 server for what http3_web_test.go describes, with Bun: http3_bun_client.js HOST:PORT ROOT OUT NAME...
//
// Files go to OUT. It prints a line for each thing that worked, and ends with an error at the first that did not. Bun's fetch trusts no other roots than
// its own over HTTP/3, and shows no trailers.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [address, root, out, ...names] = process.argv.slice(2);

function ask(path, init = {}) {
  return fetch(`https://${address}${path}`, { protocol: "http3", tls: { rejectUnauthorized: false }, ...init });
}

async function ok(path, init = {}, status = 200) {
  const response = await ask(path, init);
  want(`status of ${path}`, response.status, status);
  return response;
}

function want(what, got, wanted) {
  if (got === wanted) return;
  console.error(`${what}: ${String(got).slice(0, 200)}, want ${String(wanted).slice(0, 200)}`);
  process.exit(1);
}

const sum = (data) => createHash("sha256").update(data).digest("hex");
const sumOf = async (response) => sum(await response.bytes());
const large = readFileSync(join(root, "large"));
const small = sum(readFileSync(join(root, "small")));
const mebi = large.subarray(0, 1 << 20);

for (const name of names) writeFileSync(join(out, name), await (await ok("/files/" + name)).bytes());
console.log("get");

let response = await ok("/files/large", { method: "HEAD" });
want("content-length of HEAD", response.headers.get("content-length"), String(large.length));
want("bytes in answer to HEAD", (await response.bytes()).length, 0);
console.log("head");

want("the echo", await sumOf(await ok("/echo", { method: "POST", body: mebi })), sum(mebi));
const pieces = new ReadableStream({
  start(controller) {
    for (let i = 0; i < mebi.length; i += 10_000) controller.enqueue(mebi.subarray(i, i + 10_000));
    controller.close();
  },
});
want("the echo in pieces", await sumOf(await ok("/echo", { method: "POST", body: pieces })), sum(mebi));
console.log("post");

const many = Array.from({ length: 100 }, async () => sumOf(await ok("/files/small")));
for (const one of await Promise.all(many)) want("one of 100", one, small);
console.log("parallel");

const headers = {};
for (let i = 0; i < 60; i++) headers[`x-large-${i}`] = String.fromCharCode(97 + (i % 26)).repeat(1000);
response = await ok("/fields", { headers });
want("bytes of the fields x-large-* at the server", await response.text(), "60000");
let n = 0;
for (const [name, value] of response.headers) if (name.startsWith("x-large-")) n += value.length;
want("bytes of the fields x-large-*", n, 60000);
console.log("large fields");

want("body before a trailer", await (await ok("/trailers", { method: "POST", body: mebi })).text(), "");
console.log("trailers");

want("early answer", await (await ok("/early", { method: "POST", body: large }, 413)).text(), "too much");
console.log("early answer");

const stop = new AbortController();
response = await ok("/endless", { signal: stop.signal });
const reader = response.body.getReader();
for (let got = 0; got < 1 << 20; ) got += (await reader.read()).value.length;
stop.abort();
want("after a cancel", await sumOf(await ok("/files/small")), small);
want("cancelled", await (await ok("/cancelled")).text(), "1");
console.log("cancel");

let broken = "";
try {
  broken = await (await ask("/broken")).text();
} catch (error) {
  broken = error.code;
}
want("what becomes of a broken answer", broken, "HTTP3StreamReset");
console.log("broken");

want("last answer", await (await ok("/goaway")).text(), "the last");
console.log("goaway");
process.exit(0);
