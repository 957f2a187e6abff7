export {
  type AccessModifier,
  address,
  bit,
  bits,
  dw,
  enumOf,
  named,
  preserved,
  preset,
  reserved,
  ro,
  w1c,
  w1s,
  wide,
} from './builders.js';
export type { Gaps } from './check.js';
export { type RegisterOptions, reg32, reg64, table } from './declare.js';
export { BitfieldError, isBitfieldError } from './error.js';
export type { Field, FieldInfo, WideField } from './field.js';
export type {
  AnyLayout,
  AnyRegister,
  Difference,
  FieldKey,
  Fields,
  FormatOptions,
  Layout,
  Partials,
  Reg32,
  Reg64,
  Table,
  Values,
} from './layout.js';
export type { Access, EnumNames, FieldSpec, FieldSpecs, NumberSpec, ReservedSpec, Wide, WideSpec } from './spec.js';
export type { LayoutOptions } from './structure.js';
