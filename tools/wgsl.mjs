// Makes every pipeline of the shaders in a folder with Dawn, on its backend that needs no GPU: each entry point with each combination of
// its overrides' values. Run by tools/wgsl.
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';

const [, , library, folder] = process.argv;
const { create } = await import(pathToFileURL(library));
// Held as long as the device is used.
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ['subgroups'] });

// What the kernels set the overrides to that aren't bools.
const numbers = { lanes: [4, 8, 16], invocations: [128, 256], rows: [4, 8], blocks: [1, 2, 3, 4] };
// The tiled products' tiles, 64x64, 32x64, 128x64 and 128x128: see tile.rs.
const tiles = [[128, 16, 8, 4], [128, 16, 4, 4], [128, 8, 8, 8], [256, 16, 8, 8]]
    .map(([invocations, across, rows, columns]) => ({ invocations, across, rows, columns }));

function combinations(text) {
    const overrides = [...text.matchAll(/^override (\w+): (\w+)/gm)].map(([, name, type]) => [name, type]);
    const tiled = overrides.some(([name]) => name === 'across');
    let all = tiled ? tiles : [{}];
    for (const [name, type] of overrides) {
        if (tiled && name in tiles[0]) continue;
        const values = type === 'bool' ? [0, 1] : numbers[name];
        if (!values) throw new Error(`nobody says what the override ${name} can be`);
        all = all.flatMap((set) => values.map((value) => ({ ...set, [name]: value })));
    }
    return all;
}

// What Dawn says against it, or nothing.
async function complaint(make) {
    device.pushErrorScope('validation');
    const made = make();
    return { made, message: (await device.popErrorScope())?.message };
}

async function check(name, text) {
    // The texture kernels leave out a directive that browsers want and naga doesn't know yet (docs/adr/0004).
    const code = (name.endsWith('_texture.wgsl') ? 'enable subgroups; ' : '') + text;
    const { made: module, message } = await complaint(() => device.createShaderModule({ code }));
    if (message) return [`${name}: ${message}`];
    const problems = [];
    for (const [, entryPoint] of text.matchAll(/^@compute[^\n]*\nfn (\w+)/gm)) {
        for (const constants of combinations(text)) {
            const descriptor = { layout: 'auto', compute: { module, entryPoint, constants } };
            const { message } = await complaint(() => device.createComputePipeline(descriptor));
            if (message) problems.push(`${name}, ${entryPoint}, ${JSON.stringify(constants)}: ${message}`);
            pipelines += 1;
        }
    }
    return problems;
}

let pipelines = 0;
// A compiler that takes these checks nothing.
const forbidden = [
    'fn f(a: vec2<u32>, b: vec2<bool>) -> vec2<bool> { return a < vec2<u32>(1u) & b; }',
    'override rows: u32 = 8u;\n@compute @workgroup_size(rows - 4u)\nfn main() {}\n',
];
for (const text of forbidden) {
    if ((await check('forbidden', text)).length === 0) throw new Error(`Dawn takes what is forbidden: ${text}`);
}
pipelines = 0;
// Cooperative matrices are naga's own (docs/adr/0013).
const files = fs.readdirSync(folder).filter((name) => name.endsWith('.wgsl') && !name.endsWith('_cooperative.wgsl'));
let problems = [];
for (const name of files) problems = problems.concat(await check(name, fs.readFileSync(`${folder}/${name}`, 'utf8')));
problems.forEach((problem) => console.error(problem));
if (problems.length === 0) console.log(`Dawn makes ${pipelines} pipelines of ${files.length} files in ${folder}`);
process.exit(problems.length === 0 && files.length > 0 ? 0 : 1);
