from optional_packages import needs


def test_the_example_checks_a_transformer_against_onnx_runtime(example, capsys):
    needs("onnx")
    needs("onnxruntime")
    example("onnx_runtime")
    assert capsys.readouterr().out.count("largest difference") == 2
