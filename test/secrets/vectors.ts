/**
 * Files that `sops` itself wrote, with their test keys, which are public: FLUX and OLDER by SOPS 3.10.2 and 3.9.0, from
 * the tests of github.com/fluxcd/kustomize-controller (Apache-2.0; internal/controller/testdata/sops/global/secret.yaml and
 * algorithms/age.yaml, whose key is in internal/decryptor/testdata/age.txt); EVERYTHING by 3.7.1, from those of Terragrunt
 * users, without the rules of the others.
 */
export const FLUX = {
  key: "AGE-SECRET-KEY-10U7MAELH09KZU63F65P2TYLN7TQM5X6GSDDCQ4YMUGDS3DS6XZMSTYY2PN",
  text: `apiVersion: v1
kind: Secret
metadata:
  name: global-age-secret
  namespace: default
type: Opaque
stringData:
  key: ENC[AES256_GCM,data:5d9WYyV8eyrOhF/m,iv:wuxE+q4pB+2cXBLcOy4/eZFSteLXJJDEI001UFAPd3A=,tag:EyM2zosBOv5/DnZMUqyNJg==,type:str]
sops:
  age:
    - recipient: age1henwn645drkd3fa34t27t2w2x0nsgw3w4h62gmg5x5xflyjpy38s5cncph
      enc: |
        -----BEGIN AGE ENCRYPTED FILE-----
        YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBhSEJIVUQrZXpkZmJ6ek1U
        enNmL2cycGJVTUp0bGJBQmhzUms5eENWd1MwCjZtUjMvT28zWU8wVHArNDdyNG1x
        RjJCK29jNEJ5bDc5M2pNVG0rcHhFQ2cKLS0tIDkzRk5zdTZ5ek4rNzNvT2l5VDJ1
        Sk01a05sV094UjFVbkhsVUhaOFhWa3MKwVILC0MO4CPlK0kniPTxOgMxej+E1NJ3
        d1vA+h/DFoHDV6fU63n/v0BLmi7q0x10pYj95u1Ef1cP24JC/G+M4g==
        -----END AGE ENCRYPTED FILE-----
  lastmodified: "2025-07-06T17:19:51Z"
  mac: ENC[AES256_GCM,data:5vkroTHj/9sLCEb+LHZEWwbrq9amLfU9QsDE6ZmpSDa/r7T2RGzX9cAhe73s2L7E5EZblsWOGLPdQCRXP/Llp19QzEU6dYs+n0IyFprjtYpL8VEB3S2aCPzdhOrN0o/pcHGmfvp4S9gXvwki1EIYhRL7ozBHNppxQGLOdVDigjg=,iv:dCzK0olxFn4QwknnYvO4LNo7SjuX04zF6saVRFQv7wY=,tag:GwL7WDw2IBxNUdGUBpBXEQ==,type:str]
  encrypted_regex: ^(data|stringData)$
  version: 3.10.2
`,
} as const;

export const EVERYTHING = {
  key: "AGE-SECRET-KEY-1YQMYYAHGUU5VK67GKY6RM8YEKTW687RT9KPUG5X8FD0F988PCXKQXM8RMY",
  text: `secrets:
    SOME SECRET: ENC[AES256_GCM,data:K+owLb+AfIViGh2vQHtvw3xANKNClzZkRGsn7EYptf2a9M7E4CRNW5Bc,iv:9kkXlTHS5D2SYDcEy6eyAMaNMXew++R6edi1i3DLywI=,tag:FP17yb3brPa9sA/O54PJcQ==,type:str]
sops:
    kms: []
    gcp_kms: []
    azure_kv: []
    hc_vault: []
    age:
        - recipient: age106dn94074uskzjua39h4v0ql89l528wrqp2f84xpcznpr9f6ye4q9k8hp8
          enc: |
            -----BEGIN AGE ENCRYPTED FILE-----
            YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBuZHdXa0lTNjZiRWwxamNC
            VVdZejczbzRaeFVNeTE2akZMZGtUeUw5RUQ0CllXSitCM2Z6OUFvUHRYN0g0WGhv
            L0Q5aTh0bmxtS1I1N2hPaHBoUHdpWGsKLS0tIG43RXc0MVd4RkxyOVlaWk1jTkp6
            YncxSk1TUmZnWDdHNXRLelRQNUd3dFkKNbKDdRZIP3ZrQLfxpyTdd0hb8/sY4Zg9
            po+DEMxHEGID5X5wakizYtNlxnI9VlBXtcQkEbt7eN4+GmMHGIEuLQ==
            -----END AGE ENCRYPTED FILE-----
    lastmodified: "2022-05-23T12:25:56Z"
    mac: ENC[AES256_GCM,data:KI7AAQ+v3RHAR51CxjFCQZhaQ4PVdjXIQxDM/tEwEjgan7qSNesb6xpK7Czhx4mFTUd+rdIcqW9nis4XniAxh5tM2z4G5qiEog3NvIieQi3v8dEn5It69I4KyPWmyqTp762tpPBlIE4tEL/PRZ90h9+uecTxgChFB83qwCGMnJI=,iv:OuaCnYu//MFSPUlvT9pC5+m6oA5TAft1mS9x9t2iZ0g=,tag:kOiUx8LQbdL+oHm7q5e5bg==,type:str]
    pgp: []
    unencrypted_suffix: _unencrypted
    version: 3.7.1
`,
} as const;

export const OLDER = {
  key: "AGE-SECRET-KEY-1RH87A5Z54ZGUR9S0AS3R6WHFSEFNPLYMAKF5Z2CEU7R06VRJ0A3Q7242AM",
  text: `apiVersion: v1
kind: Secret
metadata:
  name: age
stringData:
  key: ENC[AES256_GCM,data:mHeXsmQ=,iv:vUMpILz3xchORqkzDFvgwENY7EqIHHGJdEF6C8xqbFE=,tag:IroV7hykADvD0IUaq6kikA==,type:str]
sops:
  kms: []
  gcp_kms: []
  azure_kv: []
  hc_vault: []
  age:
    - recipient: age1l44xcng8dqj32nlv6d930qvvrny05hglzcv9qpc7kxjc6902ma4qufys29
      enc: |
        -----BEGIN AGE ENCRYPTED FILE-----
        YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBZeHVSdjJoY3ZSQjJzbk1q
        ZXFxMWJ5amkrN1VXeHI4QzQ5OHcwVGxDem1zCm8wQVEzNEUrOUhtRUFkVnFUY0tN
        aFgwaHNrWmVWY1RGWXI2YlpYbUhYMGMKLS0tIDBFSXo3cjRCMngvTXpldzhMRlVp
        TXk2d2ExSVZYNDVTV0xwVlZnQnpScG8KVpjffjtRTA7Z4Wf/l1VMLjcl16hOrRUv
        LKiZDcq+nqKDUI7owZ+xNs2w5SrQjEWVhDXRSeSSRiJrK/bCYKzRxA==
        -----END AGE ENCRYPTED FILE-----
  lastmodified: "2024-11-12T13:33:42Z"
  mac: ENC[AES256_GCM,data:vmrF+VgW3o8z4h/DOStCUNudz68yHEC8Mws+LPoKpM3Xc7GM0Z1CfX0TKwdLLjMuvyWa2Nx2NIxm0+MCbmR8+y2izn0hHPSWhNVCWSK+iW48M05vXhDCV0xNkqM7g0kLhQ3PiSrB69loQj8C590HIfEViEtyDCFUeynDgcC289Q=,iv:u5lhmtXMxyt+3Pw09wWvgBhmKLoOSpKNWUpu/LuCr3Y=,tag:Dg0HFdLgQltzPgnEmltAzQ==,type:str]
  pgp: []
  encrypted_regex: ^(data|stringData)$
  version: 3.9.0
`,
} as const;
