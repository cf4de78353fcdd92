// The proxy and the services around it, as the tests start and end them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

// Starts the proxy by a configuration; it must come up. With the URL of its first listener.
export async function startProxy(config) {
  const process_ = spawn(process.env.PORTCULLIS, ["run", "--config", config], { stdio: ["ignore", "ignore", "pipe"] });
  let url;
  for await (const line of createInterface(process_.stderr)) {
    const address = line.includes("agents can connect") && /address=(\S+)/.exec(line);
    if (address) {
      url = `http://${address[1]}`;
      break;
    }
  }
  process_.stderr.resume();
  assert(url, "the proxy came up");
  const stop = async () => {
    const ended = once(process_, "exit");
    process_.kill("SIGTERM");
    await ended;
  };
  return { url, stop };
}

export async function startServer(handler) {
  const server = createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

export function stopServer(server) {
  server.closeAllConnections();
  server.close();
}
