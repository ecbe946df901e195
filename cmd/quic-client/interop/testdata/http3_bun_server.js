// Serve what http3_web_test.go describes over HTTP/3 with Bun: http3_bun_server.js ROOT CERT KEY
//
// Bun's requests and responses have no trailers.

import { createHash } from "node:crypto";
import { basename, join } from "node:path";

const [root, cert, key] = process.argv.slice(2);
let cancelled = 0;

async function file(name) {
  const f = Bun.file(join(root, basename(name)));
  return (await f.exists()) ? new Response(f) : new Response("not found", { status: 404 });
}

function fields(request) {
  let n = 0;
  for (const [name, value] of request.headers) if (name.startsWith("x-large-")) n += value.length;
  const headers = new Headers();
  for (let i = 0; i < 60; i++) headers.set(`x-large-${i}`, String.fromCharCode(97 + (i % 26)).repeat(1000));
  return new Response(String(n), { headers });
}

function endless() {
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(32 << 10)),
    cancel: () => void cancelled++,
  });
  return new Response(body);
}

async function answer(request, server) {
  const path = new URL(request.url).pathname;
  if (path.startsWith("/files/")) return file(path);
  switch (path) {
    case "/echo":
      return new Response(request.body);
    case "/sum":
      return new Response(createHash("sha256").update(await request.bytes()).digest("hex"));
    case "/fields":
      return fields(request);
    case "/early":
      return new Response("too much", { status: 413 });
    case "/endless":
      return endless();
    case "/cancelled":
      return new Response(String(cancelled));
    case "/goaway":
      server.stop();
      return new Response("the last");
  }
  return new Response("not found", { status: 404 });
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  http1: false,
  http3: true,
  tls: { cert: Bun.file(cert), key: Bun.file(key) },
  maxRequestBodySize: 2 ** 40,
  fetch: answer,
});
console.log("listening on 127.0.0.1:" + server.port);
