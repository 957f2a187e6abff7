import * as v from 'valibot';

const name = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]*$/, 'a name is lower-case letters, digits and dashes'));
const exclusion = v.pipe(
  v.string(),
  v.regex(/^[a-z][a-z0-9-]*( \S+=\S+)*$/, 'a backend, maybe with settings, as in vtd, or vtd vtd.mode=ecs'),
);
const pages = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65536));
const page = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535));
const byte = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255));
const code = v.optional(v.pipe(v.string(), v.regex(/^E[A-Z]+$/, 'an error code looks like EOVERFLOW')));
const setting = v.union([v.string(), v.number(), v.boolean()]);

/** Some pages of a buffer: all of them unless `first` or `pages` say otherwise. */
const part = { buffer: name, first: v.optional(page, 0), pages: v.optional(pages) };

/** One thing that a process does. Each step is a map with one key, or just the key where it needs nothing more. */
export const Step = v.variant('do', [
  v.strictObject({ do: v.literal('open'), device: v.string() }),
  v.strictObject({ do: v.literal('map-device') }),
  v.strictObject({
    do: v.literal('bind'),
    refused: code,
    'without-pasid': v.optional(v.boolean()),
  }),
  v.strictObject({ do: v.literal('mmap'), buffer: name, pages, write: v.optional(v.boolean(), true) }),
  v.strictObject({ do: v.literal('fill'), buffer: name, byte: v.optional(byte, 0x5a) }),
  v.strictObject({
    do: v.literal('submit'),
    op: v.picklist(['copy', 'fill', 'checksum']),
    from: v.optional(name),
    to: v.optional(name),
    bytes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(8), v.multipleOf(8))),
    byte: v.optional(byte, 0xa5),
    prefetch: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)), 0),
    endless: v.optional(v.boolean(), false),
    privileged: v.optional(v.boolean()),
    refused: code,
  }),
  v.strictObject({ do: v.literal('stop') }),
  v.strictObject({ do: v.literal('sleep'), ns: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1e9)) }),
  v.strictObject({
    do: v.literal('wait'),
    outcome: v.optional(v.picklist(['done', 'cancelled', 'failed', 'stopped', 'any']), 'done'),
  }),
  v.strictObject({ do: v.literal('expect'), buffer: name, equals: v.optional(name), byte: v.optional(byte) }),
  v.strictObject({ do: v.literal('read'), ...part }),
  v.strictObject({ do: v.literal('munmap'), ...part }),
  v.strictObject({ do: v.literal('mprotect'), ...part, write: v.boolean() }),
  v.strictObject({ do: v.literal('mremap'), buffer: name, pages }),
  v.strictObject({ do: v.literal('madvise'), ...part }),
  v.strictObject({ do: v.literal('migrate'), ...part }),
  v.strictObject({ do: v.literal('reclaim'), ...part }),
  v.strictObject({ do: v.literal('fork'), child: name }),
  v.strictObject({ do: v.literal('thread'), child: name }),
  v.strictObject({ do: v.literal('join'), child: name }),
  v.strictObject({ do: v.literal('exec') }),
  v.strictObject({ do: v.literal('dma-attach') }),
  v.strictObject({ do: v.literal('dma-map'), buffer: name, pages }),
  v.strictObject({ do: v.literal('dma-unmap'), buffer: name }),
  v.strictObject({ do: v.literal('dma-detach') }),
  v.strictObject({ do: v.literal('supervisor-bind'), refused: code }),
  v.strictObject({
    do: v.literal('supervisor-map'),
    buffer: name,
    pages: v.pipe(pages, v.maxValue(512)),
    outside: v.optional(v.boolean(), false),
  }),
  v.strictObject({ do: v.literal('supervisor-unmap'), buffer: name }),
  v.strictObject({ do: v.literal('unbind') }),
  v.strictObject({ do: v.literal('close') }),
  v.strictObject({ do: v.literal('exit') }),
]);

/** Where a device is. */
const place = v.pipe(
  v.string(),
  v.regex(
    /^([0-9a-f]{4}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]|[a-z][a-z0-9-]*@[0-9a-f]+)$/,
    'a PCI address looks like 0000:00:03.0, a place on the platform bus like accelerator@a000000',
  ),
);

/** What firmware does not say: an overlay on the platform description. Without `ats-supported`, what firmware says holds. */
export const Overlay = v.strictObject({
  'ats-supported': v.optional(v.boolean()),
  endpoints: v.optional(
    v.array(
      v.strictObject({
        at: place,
        model: v.string(),
        capabilities: v.optional(v.record(v.string(), setting), {}),
        streams: v.optional(v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(0))), v.minLength(1))),
        'pasid-bits': v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(20))),
        stall: v.optional(v.boolean()),
        untrusted: v.optional(v.boolean()),
      }),
    ),
    [],
  ),
  iommu: v.optional(v.record(v.string(), setting), {}),
  iommus: v.optional(v.record(v.string(), v.record(v.string(), setting)), {}),
  units: v.optional(
    v.record(
      name,
      v.strictObject({
        behind: v.pipe(v.array(place), v.minLength(1)),
        capabilities: v.optional(v.record(name, v.record(v.string(), setting)), {}),
      }),
    ),
    {},
  ),
});

/** A scenario file. */
export const Scenario = v.strictObject({
  name,
  about: v.string(),
  platform: Overlay,
  actors: v.record(name, v.pipe(v.array(Step), v.minLength(1))),
  order: v.optional(v.union([v.string(), v.array(v.string())])),
  set: v.optional(v.record(v.string(), setting), {}),
  'not-on': v.optional(v.record(exclusion, v.string()), {}),
});

/** A checked scenario. */
export type Scenario = v.InferOutput<typeof Scenario>;
/** A checked step. */
export type Step = v.InferOutput<typeof Step>;
/** A checked overlay. */
export type Overlay = v.InferOutput<typeof Overlay>;
