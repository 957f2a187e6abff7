import { type AddressSpaceFormat, type CoreParts, coreParts, createCore } from '@iommukit/core';
import type { PlatformDescription } from '@iommukit/firmware';
import { Kernel, type Observer, PhysicalBus, type PhysicalMemory, type Settings } from '@iommukit/kernel';
import { Machine } from './machine.js';
import type {
  EndpointDriverModule,
  EndpointHardwareModule,
  IommuDriverModule,
  IommuHardwareModule,
  PlatformHardwareModule,
} from './modules.js';
import { iommusOf, type PlatformOverlay } from './platform.js';
import { usableMemory } from './usable-memory.js';

/** What a machine is made of. */
export interface MachineOptions {
  readonly platform: PlatformDescription;
  readonly overlay: PlatformOverlay;
  readonly iommuHardware: readonly IommuHardwareModule[];
  readonly iommuDrivers: readonly IommuDriverModule[];
  readonly endpointHardware: readonly EndpointHardwareModule[];
  /** Models of devices on the platform bus (default: none). */
  readonly platformHardware?: readonly PlatformHardwareModule[];
  readonly endpointDrivers: readonly EndpointDriverModule[];
  /** Every declared switch with its value. */
  readonly settings: Settings;
  /** Overrides of core's services. */
  readonly coreParts?: Partial<CoreParts>;
  /** Makes the oracles; called before any hardware is, so that caches announce themselves. */
  readonly observe?: (kernel: Kernel, memory: PhysicalMemory) => Observer;
}

/**
 * Makes a whole machine: kernel, bus, core, every IOMMU and device of the platform with its model, and their drivers.
 * Nothing runs yet: {@link Machine.boot} does.
 * @throws IommuError ENODEV (naming the node) for an IOMMU or a device that no module matches
 */
export function assemble(options: MachineOptions): Machine {
  const kernel = new Kernel();
  const bus = new PhysicalBus(kernel, usableMemory(options.platform));
  if (options.observe !== undefined) kernel.observer = options.observe(kernel, bus.memory);
  const parts = { ...coreParts, ...options.coreParts };
  const format = formatOf(options);
  const { settings, overlay } = options;
  const core = createCore({
    kernel,
    bus,
    settings,
    cpu: overlay.cpu ?? {},
    parts,
    ...(format === null ? {} : { format }),
  });
  const machine = new Machine(kernel, bus, core, options);
  machine.plug();
  return machine;
}

/** The page tables that the platform's IOMMUs share with its CPUs; null: core's own. */
function formatOf({ platform, iommuDrivers, settings }: MachineOptions): AddressSpaceFormat | null {
  const ids = iommusOf(platform).flatMap(({ compatible }) => compatible);
  const driver = iommuDrivers.find((module) => 'format' in module && module.matches.some((id) => ids.includes(id)));
  return driver?.format?.(settings) ?? null;
}
