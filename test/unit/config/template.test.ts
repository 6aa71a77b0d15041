import { describe, expect, it } from 'vitest'
import { INI_FUNCTIONS, render, V1_FUNCTIONS } from '../../../config/template.ts'
import { failure } from './loading.ts'

const envs = { A: 'alpha', EMPTY: '', N: '3' }
const run = (text: string) => render(text, 'f', envs, V1_FUNCTIONS).text
const wrong = (text: string) => failure(() => run(text))

describe('a template', () => {
  it.each([
    ['no braces', 'no braces'],
    ['{ {', '{ {'],
    ['a {{ .Envs.A }} b', 'a alpha b'],
    ['{{.Envs.A}}', 'alpha'],
    ['{{ .Envs.NONE }}', '<no value>'],
    ['a \n {{- .Envs.A -}} \n b', 'aalphab'],
    ['a {{/* note }} */}} b', 'a  b'],
    ['a {{- /* note */ -}} b', 'ab'],
    ['{{ "q\\"\\n" }}|{{ `r}}` }}', 'q"\n|r}}'],
    ['{{ 1 }}{{ true }}', '1true'],
    ['{{ $x := .Envs.A }}{{ $x }}', 'alpha'],
    ['{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}', '2'],
    ['{{ if .Envs.EMPTY }}a{{ else if .Envs.A }}b{{ else }}c{{ end }}', 'b'],
    ['{{ if .Envs.NONE }}a{{ else }}c{{ end }}', 'c'],
    ['{{ if not .Envs.NONE }}a{{ end }}', 'a'],
    ['{{ with .Envs.A }}[{{ . }}]{{ else }}none{{ end }}', '[alpha]'],
    ['{{ with .Envs.EMPTY }}x{{ else }}none{{ end }}', 'none'],
    ['{{ with $x := .Envs.A }}{{ $x }}{{ $.Envs.N }}{{ end }}', 'alpha3'],
    ['{{ range parseNumberRange "1-3,7" }}{{ . }},{{ end }}', '1,2,3,7,'],
    ['{{ range $i, $n := parseNumberRange "5,6" }}{{ $i }}={{ $n }} {{ end }}', '0=5 1=6 '],
    ['{{ range $_, $v := parseNumberRangePair "1-2" "8-9" }}{{ $v.First }}-{{ $v.Second }} {{ end }}', '1-8 2-9 '],
    [
      '{{ range parseNumberRange "1-5" }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ if gt . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}',
      '13',
    ],
    ['{{ range $k, $v := .Envs }}{{ $k }}={{ $v }};{{ end }}', 'A=alpha;EMPTY=;N=3;'],
    ['{{ range .Envs.NONE }}x{{ else }}empty{{ end }}', 'empty'],
    ['{{ printf "%s-%d-%03d-%q-%5s|%-3v|%%" "a" 7 5 "q" "b" 1 }}', 'a-7-005-"q"-    b|1  |%'],
    ['{{ .Envs.A | printf "%s!" }}', 'alpha!'],
    ['{{ index .Envs "A" }}{{ index .Envs "NONE" }}', 'alpha'],
    ['{{ index (parseNumberRange "4-6") 1 }}', '5'],
    ['{{ len .Envs.A }}{{ len (parseNumberRange "1-9") }}', '59'],
    ['{{ if and (eq .Envs.A "alpha") (ne .Envs.N "4") }}y{{ end }}', 'y'],
    ['{{ if or (lt 2 1) (le 1 1) }}y{{ end }}', 'y'],
    ['{{ or .Envs.NONE "default" }}', 'default'],
    ['{{ print "a" 1 }}', 'a1'],
    // frp's end-to-end suite renders its files with Go first, which leaves actions as raw strings.
    ['{{ `{{ .Envs.A }}` }}', '{{ .Envs.A }}'],
  ])('%j renders %j', (text, out) => {
    expect(run(text)).toBe(out)
  })

  it.each([
    ['x\n{{ .Nope }}', "f:2: template: can't evaluate field Nope"],
    ['{{ .Envs.A.B }}', "f:1: template: can't evaluate field B"],
    ['{{ nope 1 }}', 'f:1: template: function "nope" not defined'],
    ['{{ $x }}', 'f:1: template: undefined variable "$x"'],
    ['{{ template "x" }}', 'f:1: template: {{template}} is not supported in configuration files here'],
    ['{{ define "x" }}{{ end }}', 'f:1: template: {{define}} is not supported in configuration files here'],
    ['{{ if true }}x', 'f:1: template: unexpected EOF: {{if}} has no {{end}}'],
    ['{{ end }}', 'f:1: template: unexpected {{end}}'],
    ['{{ }}', 'f:1: template: missing value for command'],
    ['{{ .Envs.A', 'f:1: template: unclosed action'],
    ['{{ a ? b }}', 'f:1: template: unexpected "?" in a template action'],
    ['{{ (1 }}', 'f:1: template: unclosed left paren'],
    ['{{ 1 2 }}', "f:1: template: can't give an argument to what is no function"],
    ['\n\n{{ parseNumberRange "9-1" }}', 'f:3: template: error calling parseNumberRange: range number is invalid'],
    [
      '{{ parseNumberRangePair "1-2" "1" }}',
      'f:1: template: error calling parseNumberRangePair: first and second range numbers are not in pairs',
    ],
    [
      '{{ parseNumberRange "1-999999999" }}',
      'f:1: template: error calling parseNumberRange: range number is invalid, 1-999999999 has more than 65536 numbers',
    ],
  ])('%j is refused as %j', (text, line) => {
    expect(wrong(text)).toEqual({ code: 'CONFIG_SYNTAX', lines: [line] })
  })

  it('in INI has none of the functions that frp adds', () => {
    expect(failure(() => render('{{ parseNumberRange "1" }}', 'f', {}, INI_FUNCTIONS)).lines).toEqual([
      'f:1: template: function "parseNumberRange" not defined',
    ])
  })

  it('knows which line of the file a rendered line came from', () => {
    const { text, lineOf } = render(
      'a\n{{- range parseNumberRange "1-2" }}\nb\n{{ . }}\n{{- end }}\nc',
      'f',
      {},
      V1_FUNCTIONS,
    )
    expect(text.split('\n').map((line, at) => [line, lineOf(at + 1)])).toEqual([
      ['a', 1],
      ['b', 3],
      ['1', 4],
      ['b', 3],
      ['2', 4],
      ['c', 6],
    ])
  })

  it('ends, whatever it asks for', () => {
    const loop = '{{ range parseNumberRange "1-60000" }}'
    expect(wrong(`${loop}${loop}x{{ end }}{{ end }}`).code).toBe('CONFIG_SYNTAX')
    expect(wrong(`${'{{ if true }}'.repeat(5000)}`).code).toBe('CONFIG_SYNTAX')
    expect(wrong(`{{ ${'('.repeat(5000)} }}`).code).toBe('CONFIG_SYNTAX')
  })
})
