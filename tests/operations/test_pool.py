"""Tests of the deployed user pool: sign-in by each client, and the attributes that a client may write."""

import base64
import hashlib
import hmac
import unittest

from stack import Tenant, aws, outputs


class Pool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.outputs, cls.cognito = outputs(), aws("cognito-idp")
        cls.tenant = Tenant("pool")

    def client_of(self, output):
        pool, client = self.outputs["UserPoolId"], self.outputs[output]
        return self.cognito.describe_user_pool_client(UserPoolId=pool, ClientId=client)["UserPoolClient"]

    def sign_in(self, client, flow):
        parameters = {"USERNAME": self.tenant.id, "PASSWORD": "Of-the-tests-1", "SRP_A": "1f"}
        if secret := client.get("ClientSecret"):
            text = (self.tenant.id + client["ClientId"]).encode()
            parameters["SECRET_HASH"] = base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()
        return self.cognito.initiate_auth(ClientId=client["ClientId"], AuthFlow=flow, AuthParameters=parameters)

    def test_l2_clients_may_not_write_the_tenant(self):
        clients = self.cognito.list_user_pool_clients(UserPoolId=self.outputs["UserPoolId"], MaxResults=60)["UserPoolClients"]
        ours = {self.outputs[name] for name in ("UserPoolClientId", "PublisherClientId")}
        self.assertEqual({client["ClientId"] for client in clients}, ours)
        for name, written in [("UserPoolClientId", ["email", "name"]), ("PublisherClientId", ["name"])]:
            self.assertEqual(sorted(self.client_of(name)["WriteAttributes"]), written)

    def test_l2_publisher_client_has_no_sign_in(self):
        publisher = self.client_of("PublisherClientId")
        for flow in ["USER_PASSWORD_AUTH", "USER_SRP_AUTH", "CUSTOM_AUTH"]:
            with self.subTest(flow), self.assertRaises(self.cognito.exceptions.ClientError):
                self.sign_in(publisher, flow)
        self.assertIn("AuthenticationResult", self.sign_in(self.client_of("UserPoolClientId"), "USER_PASSWORD_AUTH"))

    def test_l2_local_pool_ignores_write_attributes(self):
        """Cognito rejects this write. When the local cloud rejects it too, invert this test and remove the sentence from SECURITY.md."""
        signed_in = self.sign_in(self.client_of("UserPoolClientId"), "USER_PASSWORD_AUTH")["AuthenticationResult"]
        chosen = [{"Name": "custom:tenantId", "Value": f"{self.tenant.id}-other"}]
        self.cognito.update_user_attributes(AccessToken=signed_in["AccessToken"], UserAttributes=chosen)
        stored = self.cognito.get_user(AccessToken=signed_in["AccessToken"])["UserAttributes"]
        self.assertIn(chosen[0], stored)


if __name__ == "__main__":
    unittest.main()
