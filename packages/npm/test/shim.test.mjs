// The shim of the npm package, with scripts in place of the program: `node --test packages/npm/test`
import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, before, test} from 'node:test';
import {fileURLToPath} from 'node:url';

const source = fileURLToPath(new URL('..', import.meta.url));
const {PLATFORMS, findProgram} = createRequire(import.meta.url)('../lib/platform.js');
const WAIT = "console.log('ready'); setInterval(() => {}, 1000);";
let folder;
let shim;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'shim-'));
  const own = path.join(folder, 'node_modules', 'claude-switchboard');
  cpSync(source, own, {recursive: true});
  shim = path.join(own, 'bin', 'claude-switchboard.js');
});
after(() => rmSync(folder, {recursive: true, force: true}));

/** Installs a script as the program of this platform. */
function install(script, interpreter = '/bin/sh') {
  const program = path.join(folder, 'node_modules', '@claude-switchboard', `${process.platform}-${process.arch}`, 'bin', 'claude-switchboard');
  mkdirSync(path.dirname(program), {recursive: true});
  writeFileSync(program, `#!${interpreter}\n${script}\n`);
  chmodSync(program, 0o755);
}

/** Starts the shim, and resolves once the program has printed its first line. */
async function started() {
  const child = spawn(process.execPath, [shim], {stdio: ['ignore', 'pipe', 'inherit']});
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({code, signal})));
  let text = '';
  await new Promise((resolve) => {
    child.stdout.on('data', (piece) => {
      text += piece;
      if (text.includes('\n')) resolve();
    });
  });
  return {child, ended, text: () => text};
}

test('shim passes arguments, input, output and exit code', () => {
  install('cat; for argument in "$@"; do echo "<$argument>"; done; echo bad >&2; exit 64');
  const done = spawnSync(process.execPath, [shim, 'a b', '--c', ''], {input: 'in\n', encoding: 'utf8'});
  assert.deepEqual([done.stdout, done.stderr, done.status], ['in\n<a b>\n<--c>\n<>\n', 'bad\n', 64]);
});

for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR1', 'SIGUSR2']) {
  test(`shim passes ${signal} on and waits for the program`, async () => {
    install(`process.on('${signal}', () => { console.log('got'); process.exit(7); }); ${WAIT}`, process.execPath);
    const run = await started();
    run.child.kill(signal);
    assert.deepEqual(await run.ended, {code: 7, signal: null});
    assert.equal(run.text(), 'ready\ngot\n');
  });
}

test('shim ends by the signal that ended the program', async () => {
  install(WAIT, process.execPath);
  const run = await started();
  run.child.kill('SIGTERM');
  assert.deepEqual(await run.ended, {code: null, signal: 'SIGTERM'});
});

test('shim without the package of the platform says how to install it', () => {
  rmSync(path.join(folder, 'node_modules', '@claude-switchboard'), {recursive: true, force: true});
  const done = spawnSync(process.execPath, [shim], {encoding: 'utf8'});
  assert.equal(done.status, 1);
  assert.match(done.stderr, /^error: the package @claude-switchboard\/\S+ is not installed\nhint: .*--omit=optional/);
  assert.match(done.stderr, /npm install @claude-switchboard\/\S+@/);
});

test('shim with a program that is not executable says so', () => {
  install('exit 0');
  chmodSync(path.join(folder, 'node_modules', '@claude-switchboard', `${process.platform}-${process.arch}`, 'bin', 'claude-switchboard'), 0o644);
  const done = spawnSync(process.execPath, [shim], {encoding: 'utf8'});
  assert.equal(done.status, 1);
  assert.match(done.stderr, /^error: .* cannot be started: .*EACCES\nhint: /);
});

test('unknown platforms and musl are named', () => {
  const glibc = {getReport: () => ({header: {glibcVersionRuntime: '2.36'}})};
  const musl = {getReport: () => ({header: {}})};
  const find = (platform, arch, report) => findProgram({platform, arch, report}, (name) => name, '1.2.3');
  assert.throws(() => find('win32', 'x64', glibc), /no claude-switchboard for win32-x64/);
  assert.throws(() => find('linux', 'x64', musl), /no glibc/);
  assert.equal(find('linux', 'arm64', glibc), '@claude-switchboard/linux-arm64/bin/claude-switchboard');
  assert.equal(find('darwin', 'arm64', musl), '@claude-switchboard/darwin-arm64/bin/claude-switchboard');
});

test('package.json lists each platform', () => {
  const {optionalDependencies} = createRequire(import.meta.url)('../package.json');
  assert.deepEqual(Object.keys(optionalDependencies).sort(), PLATFORMS.map((platform) => `@claude-switchboard/${platform}`).sort());
});
