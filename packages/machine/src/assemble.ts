import { type AddressSpaceFormat, type CoreParts, coreParts, createCore } from '@iommukit/core';
import type { PlatformDescription } from '@iommukit/firmware';
import { type FrameMemory, Kernel, type Observer, PhysicalBus, type Settings } from '@iommukit/kernel';
import type { ForeignHardware } from './foreign-hardware.js';
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
  readonly observe?: (kernel: Kernel, memory: FrameMemory) => Observer;
  /**
   * Hardware that is there already, in place of every model: the modules of hardware are not used, and what the platform
   * and its overlay name is looked for on its bus.
   */
  readonly hardware?: ForeignHardware;
}

/**
 * Makes a whole machine: kernel, bus, core, every IOMMU and device of the platform with its model, and their drivers.
 * Nothing runs yet: {@link Machine.boot} does.
 * @throws IommuError ENODEV (naming the node) for an IOMMU or a device that no module matches, or that is not there
 */
export function assemble(options: MachineOptions): Machine {
  const kernel = new Kernel();
  const embedded = options.hardware === undefined ? new PhysicalBus(kernel, usableMemory(options.platform)) : null;
  const bus = embedded ?? options.hardware!.bus(kernel);
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
  const machine = new Machine(kernel, bus, core, options, embedded);
  machine.plug();
  if (options.hardware !== undefined) machine.connect(options.hardware);
  return machine;
}

/** The page tables that the platform's IOMMUs share with its CPUs; null: core's own. */
function formatOf({ platform, iommuDrivers, settings }: MachineOptions): AddressSpaceFormat | null {
  const ids = iommusOf(platform).flatMap(({ compatible }) => compatible);
  const driver = iommuDrivers.find((module) => 'format' in module && module.matches.some((id) => ids.includes(id)));
  return driver?.format?.(settings) ?? null;
}
