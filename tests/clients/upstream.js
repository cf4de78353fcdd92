// A service that does what services do, by HTTP/1.1 and by HTTP/2 in the clear. It prints the ports of both.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createServer2 } from "node:http2";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const PIECE = Buffer.alloc(64 * 1024, "0123456789abcdef");
const connections = new WeakMap();
let count = 0;

// Which connection it came on, so that one can see that connections are used again.
function connectionOf(request) {
  const socket = request.stream?.session?.socket ?? request.socket;
  const key = request.stream?.session ?? socket;
  if (!connections.has(key)) connections.set(key, ++count);
  return connections.get(key);
}

async function send(response, size) {
  while (size > 0) {
    const piece = PIECE.subarray(0, Math.min(size, PIECE.length));
    size -= piece.length;
    if (!response.write(piece)) await once(response, "drain");
  }
  response.end();
}

async function answer(request, response) {
  const url = new URL(request.url, "http://upstream");
  const what = url.pathname.split("/").at(-1);
  response.setHeader("x-connection", connectionOf(request));
  switch (what) {
    case "echo":
      response.setHeader("content-type", request.headers["content-type"] ?? "text/plain");
      request.pipe(response);
      break;
    case "sum": {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const piece of request) {
        hash.update(piece);
        bytes += piece.length;
      }
      const { method, headers, httpVersion } = request;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ method, headers, httpVersion, bytes, sha256: hash.digest("hex") }));
      break;
    }
    case "bytes":
      response.setHeader("content-length", url.searchParams.get("size"));
      await send(response, Number(url.searchParams.get("size")));
      break;
    case "nothing":
      response.writeHead(204).end();
      break;
    case "unchanged":
      response.writeHead(304, { etag: '"1"' }).end();
      break;
    case "trailers":
      response.setHeader("trailer", "x-checksum");
      response.write("with trailers");
      response.addTrailers({ "x-checksum": "abc" });
      response.end();
      break;
    case "events":
      response.setHeader("content-type", "text/event-stream");
      for (const number of [1, 2, 3]) {
        response.write(`data: ${number}\n\n`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      response.end();
      break;
    case "refuse":
      // It does not wait for the body.
      response.writeHead(409, { "content-type": "text/plain" }).end("no room");
      break;
    default:
      response.setHeader("content-type", "text/plain");
      response.end("ok");
  }
}

const ports = [];
for (const make of [createServer, createServer2]) {
  const server = make((request, response) => {
    request.on("error", () => {});
    answer(request, response).catch(() => response.destroy?.());
  });
  server.on("sessionError", () => {});
  server.keepAliveTimeout = 60_000;
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + GUID).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    // Short frames, which come with a mask and go without.
    socket.on("data", (frame) => {
      const mask = frame.subarray(2, 6);
      const payload = frame.subarray(6).map((byte, at) => byte ^ mask[at % 4]);
      socket.write(Buffer.concat([Buffer.from([frame[0], payload.length]), payload]));
    });
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ports.push(server.address().port);
}
console.log(JSON.stringify(ports));
