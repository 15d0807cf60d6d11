/** Remotes of every kind on loopback: git daemon, Git's http backend, sshd; signatures by real keys. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { imageOf, Lab, pod, refusal } from "./lab.ts";

let lab: Lab;
const ends: (() => Promise<void> | void)[] = [];
beforeEach(() => {
  lab = new Lab();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await lab.close();
});

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs a server until the end of the test; resolves when its port answers. */
async function serve(command: string, args: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (said += String(chunk)));
  ends.push(async () => {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    if (child.pid !== undefined && child.exitCode === null) {
      process.kill(-child.pid, "SIGKILL");
      await gone;
    }
  });
  const deadline = Date.now() + 20_000;
  while (!(await answers(port))) {
    if (Date.now() > deadline || child.exitCode !== null) throw new Error(`${command} does not answer: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return child;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

test("git daemon: shallow, and only where that is allowed", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web", { image: "web:1" })).commit();
  origin.write("web.yaml", pod("web", { image: "web:2" })).commit();
  const port = await freePort();
  await serve(
    "git",
    [
      "daemon",
      "--export-all",
      "--reuseaddr",
      "--listen=127.0.0.1",
      `--port=${port}`,
      `--base-path=${lab.path}`,
      lab.path,
    ],
    port,
  );
  const url = `git://127.0.0.1:${port}/origin/.git`;
  await expect(lab.source({ url })).rejects.toThrow("can be changed on its way");
  const { source, state } = await lab.source({ url, insecure: true });
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:2");
  const shallow = readFileSync(join(lab.path, "copies", "pods", "shallow"), "utf8")
    .trim()
    .split("\n");
  expect(shallow).toHaveLength(1);
});

interface HttpWish {
  readonly password?: string;
  cutAfter?: number;
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Only what a ref names is given out. */
  readonly isOld?: boolean;
}

/** Git's own http backend behind a small server that asks for a password. */
async function httpBackend(root: string, wish: HttpWish = {}): Promise<string> {
  const create = (answer: RequestListener): Server =>
    wish.tls === undefined ? createServer(answer) : createTlsServer(wish.tls, answer);
  const server = create((request, response) => {
    const expected = `Basic ${Buffer.from(`me:${wish.password}`).toString("base64")}`;
    if (wish.password !== undefined && request.headers.authorization !== expected) {
      response.writeHead(401, { "www-authenticate": "Basic realm=git" }).end();
      return;
    }
    const at = new URL(request.url ?? "/", "http://x");
    const cgi = spawn("git", ["http-backend"], {
      env: {
        PATH: process.env["PATH"],
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: "1",
        REQUEST_METHOD: request.method,
        PATH_INFO: at.pathname,
        QUERY_STRING: at.search.slice(1),
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        HTTP_CONTENT_ENCODING: String(request.headers["content-encoding"] ?? ""),
        GIT_PROTOCOL: wish.isOld === true ? "" : String(request.headers["git-protocol"] ?? ""),
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    request.pipe(cgi.stdin);
    cgi.stdin.on("error", () => {});
    const chunks: Buffer[] = [];
    cgi.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    cgi.on("close", () => {
      const all = Buffer.concat(chunks);
      const end = all.indexOf("\r\n\r\n");
      const headers = all
        .subarray(0, end)
        .toString()
        .split("\r\n")
        .map((line) => line.split(": "));
      const status = Number(headers.find(([name]) => name === "Status")?.[1]?.slice(0, 3) ?? 200);
      const body = all.subarray(end + 4);
      response.writeHead(status, Object.fromEntries(headers.filter(([name]) => name !== "Status")));
      const isPack = request.method === "POST" && body.length > 4000;
      if (wish.cutAfter === undefined || !isPack) response.end(body);
      else response.write(body.subarray(0, wish.cutAfter), () => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  const scheme = wish.tls === undefined ? "http" : "https";
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/origin/.git`;
}

test("https: only with a certificate of an authority that is trusted, the host's or the source's own", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const [keyFile, caFile] = [join(lab.path, "tls.key"), join(lab.path, "tls.crt")];
  const about = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  execFileSync("openssl", ["req", "-x509", ...made, "-out", caFile, ...about], { stdio: "ignore" });
  const tls = { key: readFileSync(keyFile, "utf8"), cert: readFileSync(caFile, "utf8") };
  const url = await httpBackend(lab.path, { tls });
  const { source: wary } = await lab.source({ name: "wary", url });
  expect((await refusal(wary.sync())).message).toContain("the certificate of the server is not trusted");
  const { source: lost } = await lab.source({ name: "lost", url, caFile: `${caFile}.none` });
  expect((await refusal(lost.sync())).message).toContain("the caFile of the source can't be read");
  const { source, state } = await lab.source({ url, caFile });
  await source.sync();
  expect(imageOf(state(), "web")).toBe("busybox:1");
});

test("a commit of a server that gives out branches only: all of them are fetched, and not kept", async () => {
  const origin = lab.repository();
  const commit = origin.write("web.yaml", pod("web", { image: "web:1" })).commit();
  origin.write("web.yaml", pod("web", { image: "web:2" })).commit();
  const url = await httpBackend(lab.path, { isOld: true });
  const { source, state } = await lab.source({ url, commit, insecure: true });
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:1");
  const refs = execFileSync("git", ["--git-dir", join(lab.path, "copies/pods"), "for-each-ref"], { encoding: "utf8" });
  expect(refs).not.toContain("refs/gantry/all/");
  expect(refs).toContain(`${commit} commit\trefs/gantry/incoming`);
  const { source: none } = await lab.source({ name: "none", url, commit: "1".repeat(40), insecure: true });
  expect((await refusal(none.sync())).message).toContain("or does not give it out");
});

test("http with a password, which nobody gets to see", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const url = await httpBackend(lab.path, { password: "s3cret" });
  const { source: stranger } = await lab.source({ name: "stranger", url, insecure: true });
  expect((await refusal(stranger.sync())).message).toContain("asks for a user name and a password");
  const inUrl = url.replace("http://", "http://me:s3cret@");
  const { source, state } = await lab.source({ url: inUrl, insecure: true });
  await source.sync();
  expect(imageOf(state(), "web")).toBe("busybox:1");
  const file = join(lab.path, "password");
  writeFileSync(file, "wrong\n");
  const { source: byFile } = await lab.source({
    name: "file",
    url,
    insecure: true,
    username: "me",
    passwordFile: file,
  });
  await refusal(byFile.sync());
  writeFileSync(file, "s3cret\n");
  await byFile.sync();
  const told = JSON.stringify([source.status(false), lab.events, lab.store.list()]);
  expect(told).not.toContain("s3cret");
});

test("a remote that dies in the middle of a fetch changes nothing, and the next fetch mends it", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web", { image: "web:1" })).commit();
  const wish: HttpWish = {};
  const url = await httpBackend(lab.path, wish);
  const { source, state } = await lab.source({ url, insecure: true });
  await source.sync();
  origin
    .write("noise.bin", randomBytes(200_000))
    .write("web.yaml", pod("web", { image: "web:2" }))
    .commit();
  wish.cutAfter = 3000;
  expect((await refusal(source.sync())).code).toBe("source-failed");
  expect(imageOf(state(), "web")).toBe("web:1");
  delete wish.cutAfter;
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:2");
});

test("sshd: a deploy key, and only the host key that is known", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const dir = join(lab.path, "ssh");
  mkdirSync(dir, { mode: 0o700 });
  for (const key of ["host", "deploy", "stranger", "other"]) keygen(join(dir, key));
  const port = await freePort();
  writeFileSync(join(dir, "authorized_keys"), readFileSync(join(dir, "deploy.pub")), { mode: 0o600 });
  writeFileSync(
    join(dir, "sshd_config"),
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${dir}/host`,
      `AuthorizedKeysFile ${dir}/authorized_keys`,
      "UsePAM no",
      "StrictModes no",
      "PasswordAuthentication no",
      "PermitRootLogin prohibit-password",
      `PidFile ${dir}/sshd.pid`,
    ].join("\n"),
  );
  mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  await serve("/usr/sbin/sshd", ["-D", "-e", "-f", join(dir, "sshd_config")], port);
  const known = (key: string): string => {
    const file = join(dir, `known-${key}`);
    writeFileSync(file, `[127.0.0.1]:${port} ${readFileSync(join(dir, `${key}.pub`), "utf8")}`);
    return file;
  };
  const url = `ssh://root@127.0.0.1:${port}${origin.path}/.git`;
  const { source, state } = await lab.source({ url, sshKey: join(dir, "deploy"), knownHosts: known("host") });
  await source.sync();
  expect(imageOf(state(), "web")).toBe("busybox:1");
  const { source: fooled } = await lab.source({
    name: "fooled",
    url,
    sshKey: join(dir, "deploy"),
    knownHosts: known("other"),
  });
  expect((await refusal(fooled.sync())).message).toContain("host key");
  writeFileSync(join(dir, "known-none"), "");
  writeFileSync(join(dir, "open"), readFileSync(join(dir, "deploy")), { mode: 0o644 });
  const { source: careless } = await lab.source({ name: "careless", url, sshKey: join(dir, "open") });
  expect((await refusal(careless.sync())).message).toContain("may be read by others (mode 0644)");
  const { source: naive } = await lab.source({
    name: "naive",
    url,
    sshKey: join(dir, "deploy"),
    knownHosts: join(dir, "known-none"),
  });
  expect((await refusal(naive.sync())).message).toContain("host key");
  const { source: stranger } = await lab.source({
    name: "stranger",
    url,
    sshKey: join(dir, "stranger"),
    knownHosts: known("host"),
  });
  expect((await refusal(stranger.sync())).message).toContain("does not let this host in");
});

function keygen(path: string): void {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path]);
  chmodSync(path, 0o600);
}

test("signatures: unsigned, by a stranger, by an ssh key that is allowed, by GPG; of commits and of tags", async () => {
  const origin = lab.repository();
  const [mine, other] = ["mine", "other"].map((name) => join(lab.path, name));
  if (mine === undefined || other === undefined) throw new Error("no keys");
  keygen(mine);
  keygen(other);
  const signers = join(lab.path, "allowed_signers");
  writeFileSync(signers, `ada@example.com ${readFileSync(`${mine}.pub`, "utf8")}`);
  const home = join(lab.path, "gnupg");
  mkdirSync(home, { mode: 0o700 });
  const gpg = (...args: string[]) =>
    execFileSync("gpg", ["--homedir", home, "--batch", "--quiet", ...args], { stdio: ["ignore", "pipe", "ignore"] });
  ends.push(() => void execFileSync("gpgconf", ["--homedir", home, "--kill", "all"]));
  gpg("--passphrase", "", "--quick-generate-key", "Ada <ada@example.com>", "ed25519", "sign", "never");
  const publicKey = join(lab.path, "ada.asc");
  writeFileSync(publicKey, gpg("--armor", "--export"));
  origin.env = { GNUPGHOME: home };
  origin.git("config", "user.signingKey", "ada@example.com");
  const bySsh = (key: string) => ["-c", "gpg.format=ssh", "-c", `user.signingKey=${key}.pub`];
  const signed = (text: string, config: readonly string[]) => {
    origin.write("web.yaml", pod("web", { image: text })).git("add", "--all");
    origin.git(...config, "commit", "--quiet", "-S", "-m", text);
  };

  origin.write("web.yaml", pod("web", { image: "web:unsigned" })).commit();
  const { source, state } = await lab.source({ url: origin.path, verify: { ssh: signers } });
  expect(await refusal(source.sync())).toMatchObject({
    code: "source-untrusted",
    message: expect.stringContaining("not signed"),
  });
  signed("web:ssh", bySsh(mine));
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:ssh");
  expect(source.status(false).signer).toContain("ada@example.com (SHA256:");
  signed("web:stranger", bySsh(other));
  expect((await refusal(source.sync())).message).toContain("not among the allowed signers");
  signed("web:gpg", []);
  expect((await refusal(source.sync())).code).toBe("source-untrusted");
  expect(imageOf(state(), "web")).toBe("web:ssh");
  expect(source.status(false)).toMatchObject({ sync: "Failed", message: expect.stringContaining("Ada Lovelace") });

  const { source: byGpg, state: gpgState } = await lab.source({
    name: "gpg",
    url: origin.path,
    verify: { gpg: [publicKey] },
  });
  await byGpg.sync();
  expect(imageOf(gpgState(), "web")).toBe("web:gpg");
  expect(byGpg.status(false).signer).toContain("Ada <ada@example.com>");
  signed("web:ssh2", bySsh(mine));
  expect((await refusal(byGpg.sync())).code).toBe("source-untrusted");

  origin.write("web.yaml", pod("web", { image: "web:tagged" })).commit();
  origin.git("tag", "-s", "v1.0.0", "-m", "1.0");
  origin.git("tag", "v2.0.0");
  const { source: byTag, state: tagState } = await lab.source({
    name: "tag",
    url: origin.path,
    tag: "v1.0.0",
    verify: { gpg: [publicKey] },
  });
  await byTag.sync();
  expect(imageOf(tagState(), "web")).toBe("web:tagged");
  const { source: light } = await lab.source({
    name: "light",
    url: origin.path,
    tag: "v2.0.0",
    verify: { gpg: [publicKey] },
  });
  expect((await refusal(light.sync())).code).toBe("source-untrusted");

  // The signed tag of an old version under the name of a new one.
  origin.git("update-ref", "refs/tags/v3.0.0", "refs/tags/v1.0.0");
  const { source: renamed } = await lab.source({
    name: "renamed",
    url: origin.path,
    semver: "^3",
    verify: { gpg: [publicKey] },
  });
  expect((await refusal(renamed.sync())).message).toContain("the tag was made as the tag v1.0.0");

  // What came into force unsigned stays, and status tells; a key that can't be read is told as well.
  const late = { name: "late", url: origin.path };
  const { source: before } = await lab.source(late);
  await before.sync();
  origin.write("web.yaml", pod("web", { image: "web:unsigned2" })).commit();
  await before.sync();
  await before.stop();
  const { source: after, read } = await lab.source({ ...late, verify: { gpg: [publicKey] } });
  expect((await refusal(after.sync())).code).toBe("source-untrusted");
  expect(imageOf(await read(), "web")).toBe("web:unsigned2");
  expect(after.status(false)).toMatchObject({ sync: "Failed", message: expect.stringContaining("is not signed") });
  expect((await refusal(after.rollback(undefined))).message).toContain("before signatures were asked for");
  await after.stop();
  const { source: keyless } = await lab.source({ ...late, verify: { gpg: [join(lab.path, "none.asc")] } });
  expect((await refusal(keyless.sync())).code).toBe("invalid-config");
  expect(keyless.status(false)).toMatchObject({ sync: "Failed", message: expect.stringContaining("none.asc") });
});

test("signatures that are asked for later: what is in force stays, and is not passed off as good", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const first = await lab.source({ url: origin.path });
  await first.source.sync();
  await first.source.stop();
  keygen(join(lab.path, "key"));
  const ssh = join(lab.path, "signers");
  writeFileSync(ssh, `ada@example.com ${readFileSync(join(lab.path, "key.pub"), "utf8")}`);
  const { source: strict, state } = await lab.source({ url: origin.path, verify: { ssh } });
  for (const _again of [1, 2]) expect((await refusal(strict.sync())).code).toBe("source-untrusted");
  expect(strict.status(false)).toMatchObject({ sync: "Failed", message: expect.stringContaining("is not signed") });
  expect(imageOf(state(), "web")).toBe("busybox:1");
  expect(lab.events.filter(({ reason }) => reason === "RevisionRefused")).toHaveLength(1);
  await strict.stop();
  const { source: keyless } = await lab.source({ url: origin.path, verify: { ssh: `${ssh}.none` } });
  expect((await refusal(keyless.sync())).message).toContain("can't be read");
  expect(keyless.status(false)).toMatchObject({ sync: "Failed", message: expect.stringContaining("can't be read") });
  await keyless.stop();
  const { source: lenient } = await lab.source({ url: origin.path });
  expect(await lenient.sync()).toBe(false);
  expect(lenient.status(false).sync).toBe("Synced");
});
