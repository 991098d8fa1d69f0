// The tables of options, for those who derive more from them: files, flags, HTTP fields.

export { STARTUP_ROWS } from './call/startup-rows.ts';
export { GATEWAY_ROWS } from './gateway/gateway-rows.ts';
export { option } from './option-rows.ts';
export type {
  CheckedRow,
  CountRow,
  FlagRow,
  ListRow,
  OptionRow,
  OptionRows,
  RecordRow,
  SectionRow,
  TextRow,
  TextsRow,
  ValueOf,
  ValuesOf,
  WordRow,
} from './option-rows.ts';
export { RTMP_ROWS } from './stream/rtmp-options.ts';
