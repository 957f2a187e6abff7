import { type TracePoint, tracepoint } from '@iommukit/kernel';

/** The last custom allocator of a group was removed while numbers were outstanding: they are lost (IOASID-16 f). */
export const ioasidLost: TracePoint<{ readonly count: number; readonly ids: string }> = tracepoint(
  'ioasid_lost',
  (r) => `count=${r.count} ids=${r.ids}`,
);
