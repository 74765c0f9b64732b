"""What the shipped dial plan (`dialplans/demo.yaml`) and `offhook demo` use."""
